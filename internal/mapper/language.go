package mapper

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/optimizer"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

// Bounds on an expression. With no loops but any, all and none, which cannot be nested, its cost is bounded by its size times
// the longest list.
const (
	maxSource = 10_000 // bytes of one expression
	maxNodes  = 5_000  // parts of one expression, named conditions written out
	memory    = 10_000 // values that one evaluation may make
	maxInside = 20     // named conditions inside one another
)

// language is what expressions of one file may say: the record's fields, the functions, the file's own conditions and lists.
type language struct {
	zone       *time.Location // of date("...")
	fields     []field
	byName     map[string]int // index into fields
	functions  map[string]function
	env        types.Map // slots and their types, for expr's own check
	config     *conf.Config
	lists      map[string][]string
	sets       map[*string]map[string]struct{} // of the lists, by their first item: rules share them
	conditions map[string]string
}

func newLanguage(zone *time.Location) *language {
	l := &language{zone: zone, fields: recordFields(), byName: map[string]int{}, functions: functions(), env: types.Map{}, sets: map[*string]map[string]struct{}{}}
	for i, f := range l.fields {
		l.byName[f.name] = i
		l.env[f.slot] = f.kind.exprType()
	}
	l.config = l.newConfig()
	return l
}

// set is the list as a set, made once for each list of the file.
func (l *language) set(items []string) map[string]struct{} {
	set, ok := l.sets[&items[0]]
	if !ok {
		set = make(map[string]struct{}, len(items))
		for _, s := range items {
			set[s] = struct{}{}
		}
		l.sets[&items[0]] = set
	}
	return set
}

func (k kind) exprType() types.Type {
	switch k {
	case text:
		return types.String
	case truth:
		return types.Bool
	case instant:
		return types.TypeOf(time.Time{})
	case texts:
		return types.TypeOf([]string(nil))
	}
	return types.Any
}

// newConfig is what expr is told. One is enough for all expressions of a file: it caches types, and nothing is compiled once
// Parse has returned.
func (l *language) newConfig() *conf.Config {
	c := conf.CreateNew()
	c.WithEnv(l.env)
	c.MaxNodes = maxNodes
	for name, f := range l.functions {
		c.Functions[name] = builtinFunction(name, f)
	}
	return c
}

// expression is a compiled expression; immutable, for any number of goroutines.
type expression struct {
	source  string
	kind    kind
	program *vm.Program
	root    ast.Node // as written, for the reasoning in logic.go and for explanations
	uses    usage
}

// usage is what an expression mentions.
type usage struct {
	fields     []string
	lists      []string
	conditions []string
}

// mistake is something wrong at a byte offset of an expression.
type mistake struct {
	offset  int
	message string
}

// compile turns source into an expression of one of the wanted kinds, or reports everything that is wrong with it.
func (l *language) compile(source string, want ...kind) (*expression, []mistake) {
	if len(source) > maxSource {
		return nil, []mistake{{0, fmt.Sprintf("this expression has %d bytes; at most %d are read", len(source), maxSource)}}
	}
	tree, bad := l.parse(source)
	if bad != nil {
		return nil, []mistake{*bad}
	}
	root, _ := l.parse(source) // a second tree stays as written
	c := &check{language: l, source: source}
	got := c.visit(&tree.Node, nil)
	if len(c.mistakes) == 0 && got != unknown && !slices.Contains(want, got) {
		c.report(0, "%s is wanted here, and this is %s%s", oneOf(want), got, compareHint(got, want))
	}
	if len(c.mistakes) > 0 {
		return nil, c.inBytes()
	}
	program, err := l.assemble(tree)
	if err != nil {
		return nil, []mistake{{0, "this expression cannot be used: " + firstLine(err.Error())}}
	}
	return &expression{source: source, kind: got, program: program, root: root.Node, uses: c.uses}, nil
}

// parse reads the source into a tree.
func (l *language) parse(source string) (*parser.Tree, *mistake) {
	tree, err := parser.ParseWithConfig(source, l.config)
	if err != nil {
		m := syntaxMistake(source, err)
		return nil, &m
	}
	return tree, nil
}

// assemble runs what expr has after our own check: its check, which is the second net, the optimizer and the compiler.
func (l *language) assemble(tree *parser.Tree) (*vm.Program, error) {
	if _, err := checker.Check(tree, l.config); err != nil {
		return nil, err
	}
	if err := optimizer.Optimize(&tree.Node, l.config); err != nil {
		return nil, err
	}
	return compiler.Compile(tree, l.config)
}

// machine evaluates expressions for one engagement after another. Not for concurrent use; the mapping keeps a pool.
type machine struct {
	vm      vm.VM
	env     map[string]any
	texts   []string // by field, for comparisons
	answers []answer // by conjunct
}

func newMachine(l *language, conjuncts int) *machine {
	return &machine{vm: vm.VM{MemoryBudget: memory}, env: make(map[string]any, len(l.fields)), texts: make([]string, len(l.fields)), answers: make([]answer, conjuncts)}
}

// truth evaluates an expression of kind truth.
func (m *machine) truth(x *expression) (bool, error) {
	v, err := m.run(x)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("the expression gave %T, not true or false", v)
	}
	return b, nil
}

// conjunct is one part of a condition between its outermost ands. Rules share parts that are written alike, and for each
// engagement every part is worked out at most once, which is what makes many rules cheap.
type conjunct struct {
	expression
	first comparison
}

// comparison is c.field == "value", which needs no machine.
type comparison struct {
	is    bool
	field int // index into language.fields
	value string
}

// split compiles the parts of a condition that has no mistakes.
func (l *language) split(source string) ([]conjunct, error) {
	tree, bad := l.parse(source)
	if bad != nil {
		return nil, fmt.Errorf("%s", bad.message)
	}
	var parts []conjunct
	for _, n := range conjuncts(tree.Node, nil) {
		part := conjunct{expression: expression{source: n.String(), kind: truth}, first: l.compared(n)}
		c := &check{language: l, source: source}
		c.visit(&n, nil)
		program, err := l.assemble(&parser.Tree{Node: n, Source: tree.Source})
		if err != nil {
			return nil, err
		}
		part.program, part.uses = program, c.uses
		parts = append(parts, part)
	}
	return parts, nil
}

// conjuncts splits a condition at its outermost ands.
func conjuncts(n ast.Node, out []ast.Node) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "and" || b.Operator == "&&") {
		return conjuncts(b.Right, conjuncts(b.Left, out))
	}
	return append(out, n)
}

// compared is the comparison that n is, zero if it is anything else.
func (l *language) compared(n ast.Node) comparison {
	b, ok := n.(*ast.BinaryNode)
	if !ok || b.Operator != "==" {
		return comparison{}
	}
	literal, ok := b.Right.(*ast.StringNode)
	field, known := l.byName[fieldOf(b.Left)]
	if !ok || !known || l.fields[field].kind != text {
		return comparison{}
	}
	return comparison{true, field, literal.Value}
}

// answer is what a conjunct said about the engagement in the machine.
type answer struct {
	known bool
	holds bool
	err   error
}

// ask evaluates a conjunct, or remembers what it said.
func (m *machine) ask(c *conjunct, i int) answer {
	a := &m.answers[i]
	if !a.known {
		a.known = true
		if c.first.is {
			a.holds = m.texts[c.first.field] == c.first.value
		} else {
			a.holds, a.err = m.truth(&c.expression)
		}
	}
	return *a
}

// text evaluates an expression that gives a text, a number or a time, and writes it as text.
func (m *machine) text(x *expression) (string, error) {
	v, err := m.run(x)
	if err != nil {
		return "", err
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case int:
		return fmt.Sprint(v), nil
	case time.Time:
		return v.UTC().Format(time.RFC3339), nil
	}
	return "", fmt.Errorf("the expression gave %T, not text", v)
}

// run evaluates x. The error names no value of the record.
func (m *machine) run(x *expression) (any, error) {
	v, err := m.vm.Run(x.program, m.env)
	if err != nil {
		message := err.Error()
		if fe, ok := err.(*file.Error); ok { //nolint:errorlint // expr returns the bare type; its Error adds the source
			message = fe.Message
		}
		return nil, fmt.Errorf("%s", firstLine(message))
	}
	return v, nil
}

func funcTypes(pointerToFunc any) []reflect.Type {
	return []reflect.Type{reflect.TypeOf(pointerToFunc).Elem()}
}
