package scim

// picked applies an operation to the values of a multi-valued attribute that a filter picks.
func (p *patcher) picked(verb string, tg target, v *value, lenient bool) error {
	a := tg.attr
	if verb == opRemove {
		return p.removePicked(tg)
	}
	var items []member
	if old := at(&p.root, a); old != nil {
		items = append(items, old.kids...)
	}
	sent, err := p.sent(&tg, v)
	if err != nil {
		return err
	}
	var hit []int
	for i := range items {
		if holds(tg.where, &items[i].value) {
			hit = append(hit, i)
		}
	}
	if len(hit) == 0 {
		if verb == opReplace && !p.makes && !lenient {
			return noTarget(a)
		}
		if sent.empty() {
			return nil
		}
		made := tg.terms()
		merge(a, &made, &tg, &sent)
		if !hollow(a, &made) {
			hit = append(hit, len(items))
			items = append(items, member{"", made})
		}
	} else {
		for _, i := range hit {
			item := items[i].value.clone()
			if tg.sub == nil && verb == opReplace {
				item = sent.clone()
			} else {
				merge(a, &item, &tg, &sent)
			}
			items[i].value = item
		}
	}
	return p.settle(a, items, hit)
}

// sent reads the operation's value: of the sub-attribute, or of a whole value.
func (p *patcher) sent(tg *target, v *value) (value, error) {
	if v.kind == list && len(v.kids) == 1 {
		v = &v.kids[0].value
	}
	if tg.sub != nil {
		return p.in.value(tg.sub, v)
	}
	return p.in.single(tg.attr, v)
}

// merge writes what was sent into one value.
func merge(a *attribute, item *value, tg *target, sent *value) {
	if tg.sub != nil {
		insert(item, tg.sub, *sent)
		return
	}
	for i := range sent.kids {
		insert(item, a.byName[sent.kids[i].name], sent.kids[i].value)
	}
}

// settle stores the values after a change of those at hit: hollow ones go, equal ones become one, one primary stays.
func (p *patcher) settle(a *attribute, items []member, hit []int) error {
	touched := map[int]bool{}
	var promoted []member
	for _, i := range hit {
		touched[i] = true
		if isPrimary(&items[i].value) {
			promoted = append(promoted, items[i])
		}
	}
	if err := onePrimary(a, promoted); err != nil {
		return err
	}
	if len(promoted) == 1 {
		demote(a, items, func(i int) bool { return touched[i] })
	}
	var kept []member
	for i := range items {
		kept = addItem(a, kept, items[i].value)
	}
	if len(kept) == 0 {
		p.clear(a)
		return nil
	}
	place(&p.root, a, listOf(kept))
	return nil
}

// removePicked takes away the picked values, or a sub-attribute of each. None picked: it is already so.
func (p *patcher) removePicked(tg target) error {
	old := at(&p.root, tg.attr)
	if old == nil {
		return nil
	}
	if tg.sub == nil {
		p.keep(tg.attr, func(item *value) bool { return !holds(tg.where, item) })
		return nil
	}
	items := append([]member{}, old.kids...)
	for i := range items {
		if holds(tg.where, &items[i].value) {
			item := items[i].value.clone()
			item.drop(tg.sub.name)
			items[i].value = item
		}
	}
	return p.settle(tg.attr, items, nil)
}
