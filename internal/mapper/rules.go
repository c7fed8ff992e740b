package mapper

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"scimbridge/internal/contractor"
)

func (b *builder) buildRules() {
	if !b.has("rules") {
		b.at(nil, "there are no rules; without one nobody gets anything")
	}
	lines := map[string]int{}
	for i := range b.file.Rules {
		f := &b.file.Rules[i]
		r := rule{name: f.Name, line: b.doc.At("rules", i).Line, deny: strings.TrimSpace(f.Deny)}
		switch first, twice := lines[f.Name]; {
		case f.Name == "":
			if !b.has("rules", i, "name") {
				b.at(path("rules", i), "the rule has no name; add name:")
			}
		case twice:
			b.at(path("rules", i, "name"), "the name %q is taken by the rule in line %d", f.Name, first)
		default:
			lines[f.Name] = r.line
			b.checkName(path("rules", i, "name"), f.Name)
		}
		if b.has("rules", i, "when") {
			b.ruleCondition(path("rules", i, "when"), f.When, &r)
		}
		if f.Grant != nil {
			r.grants = b.names(path("rules", i, "grant"), f.Grant)
			if len(f.Grant.Groups)+len(f.Grant.AccessPackages) == 0 && !b.has("rules", i, "grant", "groups") && !b.has("rules", i, "grant", "access_packages") {
				b.at(path("rules", i, "grant"), "this grants nothing; write groups: or access_packages: with names of the catalog")
			}
		}
		b.ruleLimits(i, f, &r)
		b.rules = append(b.rules, r)
	}
}

// ruleCondition compiles a condition and takes it apart; parts that other rules have too are shared.
func (b *builder) ruleCondition(where []any, source string, r *rule) {
	if r.when = b.expression(where, source, truth); r.when == nil {
		return
	}
	parts, err := b.language.split(source)
	if err != nil {
		b.at(where, "this condition cannot be used: %s", firstLine(err.Error()))
	}
	for _, p := range parts {
		k, known := b.parts[p.source]
		if !known {
			k = len(b.conjuncts)
			b.parts[p.source] = k
			b.conjuncts = append(b.conjuncts, p)
		}
		r.parts = append(r.parts, k)
	}
}

func (b *builder) ruleLimits(i int, f *fileRule, r *rule) {
	if b.has("rules", i, "deny") && r.deny == "" {
		b.at(path("rules", i, "deny"), "say why, in a sentence that may be shown to the vendor")
	}
	if r.deny != "" && f.Grant != nil {
		b.atKey(path("rules", i, "grant"), "a rule grants or denies, not both; deny wins over every grant")
	}
	if r.deny != "" && (f.MaxDuration != nil || f.Until != "" || f.Sponsor != nil) {
		b.atKey(path("rules", i, "deny"), "a rule that denies needs no max_duration, until or sponsor")
	}
	if f.MaxDuration != nil {
		if r.limit = *f.MaxDuration; r.limit.IsZero() {
			b.at(path("rules", i, "max_duration"), "a limit of 0 would grant nothing; use deny, or leave it out for no limit")
		}
	}
	if f.Until != "" {
		t, err := contractor.ParseDate(f.Until, nil, b.zone, contractor.EndOfDay)
		if err != nil || t.IsZero() {
			b.at(path("rules", i, "until"), "%q is not a date; write 2026-12-31 or 2026-12-31T18:00:00+01:00", f.Until)
		}
		r.until = t
	}
	if f.Sponsor != nil {
		r.required = f.Sponsor.Required
		for k, source := range f.Sponsor.From {
			r.sponsors = append(r.sponsors, b.expression(path("rules", i, "sponsor", "from", k), source, text))
		}
	}
	does := slices.ContainsFunc([]string{"grant", "deny", "max_duration", "until", "sponsor"}, func(key string) bool { return b.has("rules", i, key) })
	if !does {
		b.at(path("rules", i), "the rule %q does nothing; add grant:, deny:, max_duration:, until: or sponsor:", f.Name)
	}
}

// mentions lists the named conditions that an expression uses directly; none if it cannot be read.
func (l *language) mentions(source string) []string {
	tree, bad := l.parse(source)
	if bad != nil {
		return nil
	}
	v := &mentionVisitor{language: l}
	ast.Walk(&tree.Node, v)
	return v.names
}

type mentionVisitor struct {
	*language
	names []string
}

// Visit notes the conditions among the identifiers.
func (v *mentionVisitor) Visit(n *ast.Node) {
	if id, ok := (*n).(*ast.IdentifierNode); ok {
		if _, is := v.conditions[id.Value]; is {
			v.names = append(v.names, id.Value)
		}
	}
}
