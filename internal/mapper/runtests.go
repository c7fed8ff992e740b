package mapper

type test struct{}

func (b *builder) buildTests() {}
