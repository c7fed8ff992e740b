package mapper

func (b *builder) lint() {}
