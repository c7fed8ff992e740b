package mapper

import (
	"fmt"
	"slices"
	"time"

	"github.com/expr-lang/expr/ast"

	"scimbridge/internal/contractor"
)

// maxComparisons bounds the work of comparing rules with each other, in pairs of branches.
const maxComparisons = 1_000_000

// reasoned is a rule with the ways for it to match.
type reasoned struct {
	*rule
	index    int
	branches []*branch
	known    bool // the branches say something
}

// lint warns of what is allowed and cannot be meant. It speaks only of a file that has no mistakes: what is half read gives
// wrong advice.
func (b *builder) lint() {
	if b.problems.Err() != nil {
		return
	}
	r := &reasoner{language: b.language, vendors: sortedKeys(b.file.Vendors)}
	b.lintNames(r)
	rules := make([]reasoned, len(b.rules))
	for i := range b.rules {
		rules[i] = b.lintRule(r, i)
	}
	work := 0
	for i, others := range related(rules) {
		for _, k := range others {
			if work += 1 + len(rules[i].branches)*len(rules[k].branches); work > maxComparisons {
				return
			}
			b.lintPair(&rules[i], &rules[k])
		}
	}
}

// related lists for each rule those that can make it pointless: the rules that deny and, if it grants, those that grant the
// same.
func related(rules []reasoned) [][]int {
	var denying []int
	granting := map[contractor.EntitlementKey][]int{}
	for i := range rules {
		if !rules[i].known {
			continue
		}
		if rules[i].deny != "" {
			denying = append(denying, i)
		}
		for _, e := range rules[i].grants {
			granting[e.Key()] = append(granting[e.Key()], i)
		}
	}
	out := make([][]int, len(rules))
	for i := range rules {
		if !rules[i].known {
			continue
		}
		others := slices.Clone(denying)
		for _, e := range rules[i].grants {
			others = append(others, granting[e.Key()]...)
		}
		slices.Sort(others)
		out[i] = slices.DeleteFunc(slices.Compact(others), func(k int) bool { return k == i })
	}
	return out
}

// lintNames warns of conditions that can never be true, and of lists and conditions that nothing uses.
func (b *builder) lintNames(r *reasoner) {
	used := map[string]bool{}
	note := func(x *expression) {
		if x != nil {
			for _, n := range slices.Concat(x.uses.lists, x.uses.conditions) {
				used[n] = true
			}
		}
	}
	each(b.Mapping, note)
	inConditions := map[string]bool{} // lists; a condition that nothing uses is warned of on its own
	for _, name := range sortedKeys(b.file.Conditions) {
		if x, _ := b.language.compile(b.file.Conditions[name], truth); x != nil {
			for _, l := range x.uses.lists {
				inConditions[l] = true
			}
			if never(r, x.root) {
				b.warn(path("conditions", name), "the condition %q can never be true%s", name, b.vendorHint(x.root))
			}
		}
		if !used[name] {
			b.warnKey(path("conditions", name), "nothing uses the condition %q", name)
		}
	}
	for _, name := range sortedKeys(b.file.Lists) {
		if !used[name] && !inConditions[name] {
			b.warnKey(path("lists", name), "nothing uses the list %q", name)
		}
	}
}

// each calls f with every expression of the mapping.
func each(m *Mapping, f func(*expression)) {
	for i := range m.rules {
		f(m.rules[i].when)
		for _, x := range m.rules[i].sponsors {
			f(x)
		}
	}
	for _, x := range m.sponsor.from {
		f(x)
	}
	for _, t := range m.guest {
		for _, p := range t.parts {
			f(p.expr)
		}
	}
}

func never(r *reasoner, n ast.Node) bool {
	branches, ok := r.branches(n)
	return ok && !slices.ContainsFunc(branches, (*branch).possible)
}

// lintRule warns of what can be seen of one rule alone.
func (b *builder) lintRule(r *reasoner, i int) reasoned {
	rl := &b.rules[i]
	out := reasoned{rule: rl, index: i}
	if rl.when == nil {
		out.branches, out.known = []*branch{newBranch()}, true
		if rl.deny != "" {
			b.warn(path("rules", i), "rule %q has no when: it denies everybody everything", rl.name)
		}
		return out
	}
	all, ok := r.branches(rl.when.root)
	if !ok {
		return out
	}
	for _, x := range all {
		if x.possible() {
			out.branches = append(out.branches, x)
		}
	}
	if len(out.branches) == 0 {
		b.warn(path("rules", i, "when"), "rule %q can never match: this can never be true%s", rl.name, b.vendorHint(rl.when.root))
		return out
	}
	out.known = true
	if !rl.limit.IsZero() && b.longestDuration() > 0 && rl.limit.Approx() > b.longestDuration() {
		b.warn(path("rules", i, "max_duration"), "max_duration of rule %q has no effect: no engagement lasts longer than %s", rl.name, contractor.Span{Days: int(b.longestDuration() / (24 * time.Hour))})
	}
	return out
}

// longestDuration is the longest max_duration of any vendor; 0 if one has none.
func (b *builder) longestDuration() time.Duration {
	var longest time.Duration
	for _, v := range b.vendors {
		if v.MaxDuration.IsZero() {
			return 0
		}
		longest = max(longest, v.MaxDuration.Approx())
	}
	return longest
}

// vendorHint names a vendor that a condition compares with and that does not exist.
func (b *builder) vendorHint(root ast.Node) string {
	v := &vendorVisitor{builder: b}
	ast.Walk(&root, v)
	return v.hint
}

type vendorVisitor struct {
	*builder
	hint string
}

// Visit looks at comparisons of c.vendor with a text.
func (v *vendorVisitor) Visit(n *ast.Node) {
	if b, ok := (*n).(*ast.BinaryNode); ok && b.Operator == "==" && fieldOf(b.Left) == fieldVendor {
		if name, ok := literalOf(b.Right); ok && v.file.Vendors[name] == nil {
			v.hint = fmt.Sprintf("; there is no vendor %q%s", name, v.suggestVendor(name))
		}
	}
}

// lintPair warns of what the rule other makes of rule r.
func (b *builder) lintPair(r, other *reasoned) {
	if r.deny != "" {
		if other.deny != "" && other.index < r.index && implies(r.branches, other.branches) {
			b.warn(path("rules", r.index), "rule %q changes nothing: rule %q (line %d) denies whenever it matches", r.name, other.name, other.line)
		}
		return
	}
	if other.deny != "" {
		if implies(r.branches, other.branches) {
			b.warn(path("rules", r.index), "rule %q can never grant: rule %q (line %d) denies whenever it matches", r.name, other.name, other.line)
		}
		return
	}
	for _, e := range r.grants {
		if !slices.ContainsFunc(other.grants, func(o contractor.Entitlement) bool { return o.Key() == e.Key() }) {
			continue
		}
		limited, otherLimited := !r.limit.IsZero() || !r.until.IsZero(), !other.limit.IsZero() || !other.until.IsZero()
		switch {
		case !implies(r.branches, other.branches):
		case !limited && (!implies(other.branches, r.branches) || other.index < r.index):
			b.warn(b.whereGranted(r.index, e), "%q is granted already by rule %q (line %d), which matches whenever this one does", e.Name, other.name, other.line)
		case limited && !otherLimited:
			b.warn(b.whereGranted(r.index, e), "this also ends %q earlier where rule %q (line %d) grants it without this limit: the shortest limit wins", e.Name, other.name, other.line)
		case !r.limit.IsZero() && r.until.IsZero() && !other.limit.IsZero() && other.limit.Approx() < r.limit.Approx():
			b.warn(path("rules", r.index, "max_duration"), "%s has no effect on %q: rule %q (line %d) matches whenever this one does and limits it to %s", r.limit, e.Name, other.name, other.line, other.limit)
		}
	}
}

// whereGranted is the path of an entitlement's name in a rule.
func (b *builder) whereGranted(i int, e contractor.Entitlement) []any {
	g := b.file.Rules[i].Grant
	if e.Kind == contractor.KindGroup {
		return path("rules", i, "grant", "groups", slices.IndexFunc(g.Groups, func(n string) bool { return b.groups[n].Key() == e.Key() }))
	}
	return path("rules", i, "grant", "access_packages", slices.IndexFunc(g.AccessPackages, func(n string) bool { return b.packages[n].Key() == e.Key() }))
}
