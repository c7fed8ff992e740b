package mapper

import (
	"regexp"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
)

// atom adds one comparison to the branch, or the whole part as something not understood.
func (r *reasoner) atom(b *branch, n ast.Node, want bool) {
	if r.textAtom(b, n, want) || r.timeAtom(b, n, want) {
		return
	}
	s := n.String()
	b.opaque[s] = want
}

// term names what a comparison looks at: a text field, or lower or upper of one, whose values then have no other letters.
func (r *reasoner) term(b *branch, n ast.Node) (*values, string) {
	if name := fieldOf(n); name != "" {
		i, ok := r.byName[name]
		if !ok || r.fields[i].kind == instant || r.fields[i].kind == texts {
			return nil, ""
		}
		v := b.text(name)
		if name == fieldVendor {
			v.restrict(setOf(r.vendors))
		}
		if r.fields[i].kind != text {
			v.restrict(map[string]bool{"true": true, "false": true, "unknown": r.fields[i].kind == maybe})
			if r.fields[i].kind != maybe {
				v.not["unknown"] = true
			}
		}
		return v, name
	}
	call, ok := n.(*ast.CallNode)
	if !ok || len(call.Arguments) != 1 {
		return nil, ""
	}
	callee, ok := call.Callee.(*ast.IdentifierNode)
	if !ok {
		return nil, ""
	}
	folds := map[string]func(string) string{"lower": strings.ToLower, "upper": strings.ToUpper, "domain": strings.ToLower, "trim": strings.TrimSpace}
	fold, ok := folds[callee.Value]
	if !ok {
		return nil, ""
	}
	v := b.text(n.String())
	v.tests["a value of "+callee.Value] = func(s string) bool { return fold(s) == s }
	return v, n.String()
}

// textAtom understands comparisons of a text, or of true and false, with what stands in the file.
func (r *reasoner) textAtom(b *branch, n ast.Node, want bool) bool {
	node, ok := n.(*ast.BinaryNode)
	if !ok {
		if name := fieldOf(n); name != "" {
			if v, _ := r.term(b, n); v != nil { // a bare c.active
				v.restrict(map[string]bool{map[bool]string{true: "true", false: "false"}[want]: true})
				return true
			}
		}
		return false
	}
	literal, isLiteral := literalOf(node.Right)
	left := node.Left
	if other, swapped := literalOf(node.Left); swapped && !isLiteral && (node.Operator == "==" || node.Operator == "!=") {
		literal, isLiteral, left = other, true, node.Right
	}
	switch node.Operator {
	case "==", "!=":
		if v, _ := r.term(b, left); v != nil && isLiteral {
			v.equal(literal, want == (node.Operator == "=="))
			return true
		}
	case "in":
		items, ok := r.itemsOf(node.Right)
		if v, _ := r.term(b, left); v != nil && ok {
			if want {
				v.restrict(setOf(items))
			} else {
				for _, s := range items {
					v.not[s] = true
				}
			}
			return true
		}
	case "matches", "contains", "startsWith", "endsWith":
		if v, _ := r.term(b, left); v != nil && isLiteral {
			if test := textTest(node.Operator, literal); test != nil {
				v.tests[node.Operator+" "+literal+map[bool]string{false: " not"}[want]] = func(s string) bool { return test(s) == want }
				return true
			}
		}
	}
	return false
}

// equal restricts to one value, or excludes it.
func (v *values) equal(s string, want bool) {
	if want {
		v.restrict(map[string]bool{s: true})
	} else {
		v.not[s] = true
	}
}

func textTest(op, literal string) func(string) bool {
	switch op {
	case "contains":
		return func(s string) bool { return strings.Contains(s, literal) }
	case "startsWith":
		return func(s string) bool { return strings.HasPrefix(s, literal) }
	case "endsWith":
		return func(s string) bool { return strings.HasSuffix(s, literal) }
	}
	re, err := regexp.Compile(literal)
	if err != nil {
		return nil
	}
	return re.MatchString
}

// timeAtom understands c.start and c.end compared with date("…").
func (r *reasoner) timeAtom(b *branch, n ast.Node, want bool) bool {
	node, ok := n.(*ast.BinaryNode)
	if !ok {
		return false
	}
	op, name := node.Operator, fieldOf(node.Left)
	at, isDate := r.dateOf(node.Right)
	if name == "" {
		name = fieldOf(node.Right)
		at, isDate = r.dateOf(node.Left)
		op = map[string]string{"<": ">", ">": "<", "<=": ">=", ">=": "<="}[op]
	}
	if !isDate || name != fieldStart && name != fieldEnd {
		return false
	}
	if !want {
		op = map[string]string{"<": ">=", ">": "<=", "<=": ">", ">=": "<"}[op]
	}
	t := b.time(name)
	switch op {
	case "<":
		t.to = at.Add(-1)
	case "<=":
		t.to = at
	case ">":
		t.from = at.Add(1)
	case ">=":
		t.from = at
	default:
		return false
	}
	return true
}

// fieldOf is the field's name where n is c.field.
func fieldOf(n ast.Node) string {
	m, ok := n.(*ast.MemberNode)
	if !ok {
		return ""
	}
	base, ok1 := m.Node.(*ast.IdentifierNode)
	name, ok2 := m.Property.(*ast.StringNode)
	if !ok1 || !ok2 || base.Value != "c" {
		return ""
	}
	return name.Value
}

func literalOf(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.BoolNode:
		return map[bool]string{true: "true", false: "false"}[n.Value], true
	}
	return "", false
}

// itemsOf lists the texts of a list that stands in the file.
func (r *reasoner) itemsOf(n ast.Node) ([]string, bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		items, ok := r.lists[n.Value]
		return items, ok
	case *ast.ArrayNode:
		var items []string
		for _, x := range n.Nodes {
			s, ok := x.(*ast.StringNode)
			if !ok {
				return nil, false
			}
			items = append(items, s.Value)
		}
		return items, true
	}
	return nil, false
}

func (r *reasoner) dateOf(n ast.Node) (time.Time, bool) {
	call, ok := n.(*ast.CallNode)
	if !ok || len(call.Arguments) != 1 {
		return time.Time{}, false
	}
	callee, ok1 := call.Callee.(*ast.IdentifierNode)
	s, ok2 := call.Arguments[0].(*ast.StringNode)
	if !ok1 || !ok2 || callee.Value != "date" {
		return time.Time{}, false
	}
	t, err := r.readDate(s.Value)
	return t, err == nil
}
