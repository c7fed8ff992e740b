package mapper

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"

	"scimbridge/internal/contractor"
	"scimbridge/internal/strictyaml"
)

// check walks a parsed expression once: it works out the kind of every part, reports every mistake at the part that is wrong,
// and rewrites the tree into what expr compiles well (fields into slots, named conditions and lists into what they stand for,
// dates into constants).
type check struct {
	*language
	source   string
	mistakes []mistake // offsets in characters until inBytes
	uses     usage
	inside   []string // named conditions being written out
	nodes    int
	item     kind // of # inside any, all, none
}

// report notes a mistake at a character offset. Inside a named condition nothing is reported: its own check does that.
func (c *check) report(at int, format string, args ...any) kind {
	if len(c.inside) == 0 {
		c.mistakes = append(c.mistakes, mistake{at, fmt.Sprintf(format, args...)})
	}
	return unknown
}

// inBytes turns character offsets into byte offsets and orders the mistakes.
func (c *check) inBytes() []mistake {
	for i := range c.mistakes {
		c.mistakes[i].offset = byteOffset(c.source, c.mistakes[i].offset)
	}
	slices.SortStableFunc(c.mistakes, func(a, b mistake) int { return a.offset - b.offset })
	return c.mistakes
}

// byteOffset is where character n of s begins; the end of s for a character past it.
func byteOffset(s string, n int) int {
	for i := range s {
		if n <= 0 {
			return i
		}
		n--
	}
	return len(s)
}

// visit returns the kind of *n and rewrites it. parent is the node above, nil at the top.
func (c *check) visit(n *ast.Node, parent ast.Node) kind {
	if c.nodes++; c.nodes > maxNodes {
		if c.nodes == maxNodes+1 {
			c.mistakes = append(c.mistakes, mistake{0, fmt.Sprintf("this expression has more than %d parts, named conditions written out; simplify it", maxNodes)})
		}
		return unknown
	}
	at := (*n).Location().From
	switch node := (*n).(type) {
	case *ast.StringNode:
		return text
	case *ast.IntegerNode:
		return number
	case *ast.BoolNode:
		return truth
	case *ast.FloatNode:
		return c.report(at, "only whole numbers can be used")
	case *ast.NilNode:
		return c.report(at, `nil is not needed: a field that was not sent is "", and c.rehireEligible is neither true nor false`)
	case *ast.IdentifierNode:
		return c.identifier(n, node)
	case *ast.MemberNode:
		return c.member(n, node, parent)
	case *ast.UnaryNode:
		return c.unary(node)
	case *ast.BinaryNode:
		return c.binary(n, node)
	case *ast.ConditionalNode:
		return c.conditional(node)
	case *ast.ArrayNode:
		return c.array(node)
	case *ast.CallNode:
		return c.call(n, node)
	case *ast.BuiltinNode:
		return c.predicate(node)
	case *ast.PointerNode:
		if c.item == unknown || node.Name != "" {
			return c.report(at, "# stands for an item inside any, all and none only")
		}
		return c.item
	case *ast.ChainNode:
		return c.report(at, "write c.field with a plain dot; a field that was not sent is \"\"")
	case *ast.SliceNode:
		return c.report(at, "a part of a text is written left(text, 16) or right(text, 16)")
	case *ast.VariableDeclaratorNode, *ast.SequenceNode:
		return c.report(at, "let and ; cannot be used here; give the part a name under conditions")
	case *ast.MapNode:
		return c.report(at, "braces cannot be used here; a list is written [\"a\", \"b\"]")
	}
	return c.report(at, "this cannot be used in the mapping file")
}

// identifier is c (always below a member), a named condition, or a list.
func (c *check) identifier(n *ast.Node, node *ast.IdentifierNode) kind {
	at, name := node.Location().From, node.Value
	if list, ok := c.lists[name]; ok {
		c.uses.lists = append(c.uses.lists, name)
		ast.Patch(n, &ast.ConstantNode{Value: list})
		return texts
	}
	if source, ok := c.conditions[name]; ok {
		return c.condition(n, name, source)
	}
	if name == "c" {
		return c.report(at, "c is the whole record; write c.department or another field of it")
	}
	return c.report(at, "%s", c.unknownName(name))
}

// unknownName says what a bare word could have been.
func (c *check) unknownName(name string) string {
	switch lower := strings.ToLower(name); {
	case lower == "and" || lower == "or" || lower == "not" || lower == "in" || lower == "matches" || lower == "true" || lower == "false":
		return fmt.Sprintf("%q is not known; write it in small letters: %s", name, lower)
	case lower == "contains" || lower == "startswith" || lower == "endswith":
		return fmt.Sprintf("%q is not known; write c.title contains \"x\", startsWith or endsWith", name)
	case name == "null" || name == "NULL" || name == "None":
		return fmt.Sprintf("%q is not known; a field that was not sent is \"\"", name)
	case name == "now" || name == "today":
		return fmt.Sprintf("%q is not known: rules have no clock, so that a plan and what is done later agree; use max_duration or until", name)
	}
	if i, ok := c.byName[name]; ok {
		return fmt.Sprintf("%q is not known; a field of the contractor is written c.%s, text in quotes", name, c.fields[i].name)
	}
	var known []string
	for k := range c.conditions {
		known = append(known, k)
	}
	for k := range c.lists {
		known = append(known, k)
	}
	slices.Sort(known)
	if s := strictyaml.Suggest(name, known); s != "" {
		return fmt.Sprintf("there is no condition or list %q (did you mean %q?)", name, s)
	}
	if s := strictyaml.Suggest(name, fieldNames(c.fields)); s != "" {
		return fmt.Sprintf("%q is not known (did you mean c.%s?); text stands in quotes", name, s)
	}
	return fmt.Sprintf("%q is not known; text stands in quotes (\"%s\"), a field is written c.department", name, name)
}

// condition writes a named condition out in place of its name.
func (c *check) condition(n *ast.Node, name, source string) kind {
	c.uses.conditions = append(c.uses.conditions, name)
	if i := slices.Index(c.inside, name); i >= 0 {
		return truth // the circle is reported where conditions are checked
	}
	if len(c.inside) == maxInside {
		c.mistakes = append(c.mistakes, mistake{0, fmt.Sprintf("conditions stand more than %d deep inside one another here; simplify them", maxInside)})
		return truth
	}
	tree, bad := c.parse(source)
	if bad != nil {
		return truth
	}
	outer := c.item
	c.inside, c.item = append(c.inside, name), unknown
	c.visit(&tree.Node, nil)
	c.inside, c.item = c.inside[:len(c.inside)-1], outer
	ast.Patch(n, tree.Node) // keeps the place of the name
	return truth
}

// member is c.field, and nothing else.
func (c *check) member(n *ast.Node, node *ast.MemberNode, parent ast.Node) kind {
	at := node.Location().From
	name, isName := node.Property.(*ast.StringNode)
	base, isC := node.Node.(*ast.IdentifierNode)
	if !isC || base.Value != "c" {
		if isC && isName {
			return c.report(base.Location().From, "%q is not known; fields are written c.%s", base.Value, name.Value)
		}
		return c.report(at, "only fields of c can be read with a dot; functions are written before their value, as in lower(c.title)")
	}
	if !isName || node.Method {
		return c.report(at, "fields are written c.department")
	}
	i, ok := c.byName[name.Value]
	if !ok {
		return c.report(at, "contractor has no field %q%s", name.Value, didYouMean(name.Value, fieldNames(c.fields)))
	}
	c.fields[i].used = true
	f := c.fields[i]
	if !slices.Contains(c.uses.fields, f.name) {
		c.uses.fields = append(c.uses.fields, f.name)
	}
	if f.kind == maybe && !comparesTruth(parent) {
		return c.report(at, "c.%s can be unknown; write c.%s == true or c.%s == false", f.name, f.name, f.name)
	}
	ast.Patch(n, &ast.IdentifierNode{Value: f.slot})
	(*n).SetLocation(base.Location()) // later mistakes point at the c
	return f.kind
}

// comparesTruth reports whether the node above deals with a value that is neither true nor false.
func comparesTruth(parent ast.Node) bool {
	b, ok := parent.(*ast.BinaryNode)
	return ok && (b.Operator == "==" || b.Operator == "!=" || b.Operator == "??")
}

func (c *check) unary(node *ast.UnaryNode) kind {
	got := c.visit(&node.Node, node)
	at := node.Location().From
	switch {
	case node.Operator == "not" || node.Operator == "!":
		if got != truth && got != unknown {
			return c.report(at, "%s wants true or false after it, not %s", node.Operator, got)
		}
		return truth
	case got == unknown || got == number:
		return got
	}
	return c.report(at, "%s wants a number after it, not %s", node.Operator, got)
}

func (c *check) conditional(node *ast.ConditionalNode) kind {
	if k := c.visit(&node.Cond, node); k != truth && k != unknown {
		c.report(node.Cond.Location().From, "true or false is wanted before the question mark, not %s", k)
	}
	a, b := c.visit(&node.Exp1, node), c.visit(&node.Exp2, node)
	if a != b && a != unknown && b != unknown {
		return c.report(node.Location().From, "the two choices must be of one kind, not %s and %s", a, b)
	}
	if a == unknown {
		return b
	}
	return a
}

func (c *check) array(node *ast.ArrayNode) kind {
	first := unknown
	for i := range node.Nodes {
		k := c.visit(&node.Nodes[i], node)
		switch {
		case k == unknown:
		case k != text && k != number:
			c.report(node.Nodes[i].Location().From, "a list holds texts or numbers, not %s", k)
		case first == unknown:
			first = k
		case k != first:
			c.report(node.Nodes[i].Location().From, "this list holds %s and %s; all items must be of one kind", first, k)
		}
	}
	switch {
	case len(node.Nodes) == 0:
		return c.report(node.Location().From, "the list is empty")
	case first == number:
		return numbers
	}
	return texts
}

// call is a function of the closed list.
func (c *check) call(n *ast.Node, node *ast.CallNode) kind {
	at := node.Location().From
	callee, ok := node.Callee.(*ast.IdentifierNode)
	if !ok {
		if m, isMember := node.Callee.(*ast.MemberNode); isMember {
			if p, isName := m.Property.(*ast.StringNode); isName {
				return c.report(at, "functions are written before their value: %s(...)", p.Value)
			}
		}
		return c.report(at, "this is not a function")
	}
	f, ok := c.functions[callee.Value]
	if !ok || callee.Value == coalesce {
		return c.report(at, "%s", c.unknownFunction(callee.Value))
	}
	fine := true
	for i := range node.Arguments {
		k := c.visit(&node.Arguments[i], node)
		if i < len(f.params) && k != f.params[i] {
			if k != unknown {
				c.report(node.Arguments[i].Location().From, "%s wants %s here, not %s; write %s", callee.Value, f.params[i], k, f.usage)
			}
			fine = false
		}
	}
	if len(node.Arguments) != len(f.params) {
		c.report(at, "%s wants %s, not %d; write %s", callee.Value, count(len(f.params), "value"), len(node.Arguments), f.usage)
		return f.result
	}
	if !fine {
		return f.result
	}
	return c.constants(n, callee.Value, node, f)
}

// constants works out now what does not depend on a record, so that mistakes show while loading.
func (c *check) constants(n *ast.Node, name string, node *ast.CallNode, f function) kind {
	at := node.Arguments[0].Location().From
	switch name {
	case "date":
		s, ok := node.Arguments[0].(*ast.StringNode)
		if !ok {
			return c.report(at, `date wants a date in quotes: date("2026-12-31"); the record's own dates are c.start and c.end`)
		}
		t, err := c.readDate(s.Value)
		if err != nil {
			return c.report(at, "%q is not a date; write date(\"2026-12-31\")", s.Value)
		}
		ast.Patch(n, &ast.ConstantNode{Value: t})
	case "days":
		if i, ok := node.Arguments[0].(*ast.IntegerNode); ok {
			d, err := days(i.Value)
			if err != nil {
				return c.report(at, "%v", err)
			}
			ast.Patch(n, &ast.ConstantNode{Value: d})
		}
	case "format":
		s, ok := node.Arguments[1].(*ast.StringNode)
		if !ok {
			return c.report(node.Arguments[1].Location().From, `format wants its layout in quotes: format(c.end, "2006-01-02")`)
		}
		if problem := layoutProblem(s.Value, false); problem != "" {
			return c.report(node.Arguments[1].Location().From, "%s", problem)
		}
	}
	return f.result
}

// readDate is date("…"): the first instant of that day in the file's zone.
func (l *language) readDate(s string) (time.Time, error) {
	t, err := contractor.ParseDate(s, nil, l.zone, contractor.StartOfDay)
	if err == nil && t.IsZero() {
		err = fmt.Errorf("%q is not a date", s)
	}
	return t.In(l.zone), err
}

func (c *check) unknownFunction(name string) string {
	if name == "now" || name == "today" {
		return c.unknownName(name)
	}
	var known []string
	for k := range c.functions {
		if k != coalesce {
			known = append(known, k)
		}
	}
	known = append(known, "any", "all", "none")
	slices.Sort(known)
	for _, op := range []string{"contains", "startsWith", "endsWith", "matches"} {
		if strings.EqualFold(name, op) {
			return fmt.Sprintf(`%s stands between two texts: c.title %s "x"`, op, op)
		}
	}
	if s := didYouMean(name, known); s != "" {
		return fmt.Sprintf("there is no function %q%s", name, s)
	}
	return fmt.Sprintf("there is no function %q; there are %s", name, strings.Join(known, ", "))
}

// predicate is any, all or none over a list; expr's other builtins are not part of the language.
func (c *check) predicate(node *ast.BuiltinNode) kind {
	at := node.Location().From
	if node.Name != "any" && node.Name != "all" && node.Name != "none" {
		return c.report(at, "%s", c.unknownFunction(node.Name))
	}
	if c.item != unknown {
		return c.report(at, "%s cannot stand inside another any, all or none", node.Name)
	}
	switch k := c.visit(&node.Arguments[0], node); k {
	case texts:
		c.item = text
	case numbers:
		c.item = number
	case unknown:
		return truth
	default:
		return c.report(at, `%s wants a list first, not %s; write %s(c.otherEmails, # endsWith "@x.example")`, node.Name, k, node.Name)
	}
	defer func() { c.item = unknown }()
	p, ok := node.Arguments[1].(*ast.PredicateNode)
	if !ok {
		return c.report(at, `%s wants a condition second; write %s(c.otherEmails, # endsWith "@x.example")`, node.Name, node.Name)
	}
	if k := c.visit(&p.Node, p); k != truth && k != unknown {
		c.report(p.Node.Location().From, "true or false is wanted here, not %s", k)
	}
	return truth
}

// checkPattern reports what is wrong with a regular expression, "" if nothing.
func checkPattern(pattern string) string {
	if _, err := regexp.Compile(pattern); err != nil {
		return "this pattern cannot be read: " + strings.TrimPrefix(err.Error(), "error parsing regexp: ")
	}
	return ""
}
