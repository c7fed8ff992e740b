package mapper

func (m *Mapping) whyMissed(r *rule, machine *machine) string { return "" }
