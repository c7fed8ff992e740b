package mapper

import (
	"slices"

	"github.com/expr-lang/expr/ast"
)

// binary gives the kind of an operation and reports what cannot be combined.
func (c *check) binary(n *ast.Node, node *ast.BinaryNode) kind {
	if node.Operator == ".." {
		return c.report(node.Location().From, "ranges cannot be used here; write x >= 1 and x <= 9")
	}
	l := c.visit(&node.Left, node)
	r := c.visit(&node.Right, node)
	at := node.Location().From
	known := l != unknown && r != unknown
	switch op := node.Operator; op {
	case "and", "or", "&&", "||":
		if l != truth && l != unknown {
			c.report(node.Left.Location().From, "%s wants true or false on both sides, and this is %s%s", op, l, compareHint(l, []kind{truth}))
		}
		if r != truth && r != unknown {
			c.report(node.Right.Location().From, "%s wants true or false on both sides, and this is %s%s", op, r, compareHint(r, []kind{truth}))
		}
		return truth
	case "==", "!=":
		if known && !comparable(l, r) {
			c.cannotCompare(node, l, r)
		}
		return truth
	case "<", ">", "<=", ">=":
		if known && (l != r || l != number && l != instant && l != span && l != text) {
			c.cannotCompare(node, l, r)
		}
		return truth
	case "in":
		c.membership(node, l, r)
		return truth
	case "matches":
		c.pattern(node, l, r)
		return truth
	case "contains", "startsWith", "endsWith":
		if known && (l != text || r != text) {
			c.report(at, "%s wants text on both sides, not %s and %s", op, l, r)
		}
		return truth
	case "??":
		return c.otherwise(n, node, l, r)
	case "+", "-", "*":
		return c.arithmetic(node, l, r)
	}
	return c.report(at, "the operator %s cannot be used here", node.Operator)
}

// compareHint is for a text that stands where a condition is wanted.
func compareHint(got kind, want []kind) string {
	if got == text && slices.Contains(want, truth) {
		return `; compare it: c.country == "DE"`
	}
	return ""
}

func comparable(l, r kind) bool {
	if l == maybe || r == maybe {
		return l == truth || r == truth || l == r
	}
	return l == r && l != texts && l != numbers
}

// cannotCompare says what would have been right, for the mistakes that people make.
func (c *check) cannotCompare(node *ast.BinaryNode, l, r kind) {
	at := node.Left.Location().From
	left := describeNode(node.Left, l)
	switch {
	case l == instant && r == text:
		c.report(at, "cannot compare %s (a time) with text; write date(\"2026-01-01\")", left)
	case l == text && r == instant:
		c.report(at, "cannot compare text with %s (a time); write date(\"2026-01-01\")", describeNode(node.Right, r))
	case l == span && r == number || l == number && r == span:
		c.report(at, "cannot compare a duration with a number; write days(90)")
	case (l == texts || r == texts) && (l == text || r == text):
		c.report(at, "cannot compare text with a list; write c.supplier in [\"ACME\", \"Kforce\"]")
	case l == text && r == number:
		c.report(at, "cannot compare %s (text) with a number; put the number in quotes, or write int(...)", left)
	case l == text && r == truth:
		c.report(at, "cannot compare %s (text) with true or false; put the word in quotes", left)
	case l == r:
		c.report(at, "%s cannot be ordered with %s", l, node.Operator)
	default:
		c.report(at, "cannot compare %s with %s", withName(left, l), r)
	}
}

func withName(name string, k kind) string {
	if name == k.String() {
		return name
	}
	return name + " (" + k.String() + ")"
}

// describeNode names a field as written, anything else by its kind.
func describeNode(n ast.Node, k kind) string {
	if id, ok := n.(*ast.IdentifierNode); ok && len(id.Value) > 2 && id.Value[:2] == "c." {
		return id.Value
	}
	return k.String()
}

// membership checks "in" and turns lists of texts into sets.
func (c *check) membership(node *ast.BinaryNode, l, r kind) {
	at := node.Right.Location().From
	switch {
	case l == unknown || r == unknown:
	case r == text:
		c.report(at, "in wants a list: [\"a\", \"b\"]; for a part of a text write contains")
	case r != texts && r != numbers:
		c.report(at, "in wants a list: [\"a\", \"b\"], not %s", r)
	case r == texts && l != text || r == numbers && l != number:
		c.report(node.Left.Location().From, "cannot look for %s in %s", l, r)
	default:
		if list, ok := node.Right.(*ast.ConstantNode); ok {
			if items, ok := list.Value.([]string); ok && len(items) > 0 {
				ast.Patch(&node.Right, &ast.ConstantNode{Value: c.set(items)})
			}
		}
	}
}

// pattern checks "matches". The pattern must stand in the file: it is compiled once, and no vendor can send one.
func (c *check) pattern(node *ast.BinaryNode, l, r kind) {
	at := node.Right.Location().From
	if l != text && l != unknown {
		c.report(node.Left.Location().From, "matches wants text before it, not %s", l)
	}
	s, ok := node.Right.(*ast.StringNode)
	if !ok {
		if r != unknown {
			c.report(at, "matches wants its pattern in quotes, so that it can be checked: c.title matches \"(?i)developer\"")
		}
		return
	}
	if problem := checkPattern(s.Value); problem != "" {
		c.report(at, "%s", problem)
	}
}

// otherwise is a ?? b: b where a was not sent. For texts "" counts as not sent, as everywhere in SCIM.
func (c *check) otherwise(n *ast.Node, node *ast.BinaryNode, l, r kind) kind {
	switch {
	case l == unknown || r == unknown:
		return max(l, r)
	case l == text && r == text:
		call := &ast.CallNode{Callee: &ast.IdentifierNode{Value: coalesce}, Arguments: []ast.Node{node.Left, node.Right}}
		ast.Patch(n, call)
		return text
	case l == maybe && r == truth:
		return truth
	case l != text && l != maybe:
		return c.report(node.Location().From, "?? is for values that may not have been sent, and %s is always there", l)
	}
	return c.report(node.Location().From, "?? wants the same kind on both sides, not %s and %s", l, r)
}

func (c *check) arithmetic(node *ast.BinaryNode, l, r kind) kind {
	switch op := node.Operator; {
	case l == unknown || r == unknown:
		return unknown
	case l == number && r == number:
		return number
	case op == "+" && l == text && r == text:
		return text
	case op == "-" && l == instant && r == instant:
		return span
	case op != "*" && l == instant && r == span, op == "+" && l == span && r == instant:
		return instant
	case op != "*" && l == span && r == span:
		return span
	case l == instant && r == number:
		return c.report(node.Right.Location().From, "write days(30) for a number of days")
	case l == text || r == text:
		return c.report(node.Location().From, "%s cannot join %s and %s; write string(...) for a number, format(...) for a time", op, l, r)
	}
	return c.report(node.Location().From, "%s cannot be used between %s and %s", node.Operator, l, r)
}
