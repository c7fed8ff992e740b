package strictyaml

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Problemf returns a mistake at pos in the document's file.
func (d *Document) Problemf(pos Pos, format string, args ...any) Problem {
	return Problem{File: d.file, Pos: pos, Message: fmt.Sprintf(format, args...)}
}

// Warningf returns a warning at pos in the document's file.
func (d *Document) Warningf(pos Pos, format string, args ...any) Problem {
	p := d.Problemf(pos, format, args...)
	p.Warning = true
	return p
}

// Start returns the place of the document's first value.
func (d *Document) Start() Pos { return position(d.root) }

// At returns the place of the value at path, whose elements are keys (string) and indexes
// from 0 (int); where the path ends in nothing, the place of the nearest value above it.
// It panics on an element of another type.
func (d *Document) At(path ...any) Pos {
	_, value, _ := d.find(path)
	return position(value)
}

// KeyAt returns the place of the key whose value is at path, of the item where path ends in
// an index, and of the nearest key above where path ends in nothing.
func (d *Document) KeyAt(path ...any) Pos {
	key, _, _ := d.find(path)
	return position(key)
}

// Has reports whether the file has a value at path.
func (d *Document) Has(path ...any) bool {
	value := d.root
	for _, step := range path {
		if _, value = child(target(value), step); value == nil {
			return false
		}
	}
	return true
}

// find follows path as far as it leads: the key (the value itself for the root and for list
// items), the value, and the list or mapping that holds them (nil for the root). Aliases on
// the way are followed; the value itself may be an alias.
func (d *Document) find(path []any) (key, value, parent *yaml.Node) {
	key, value = d.root, d.root
	for _, step := range path {
		holder := target(value)
		k, v := child(holder, step)
		if v == nil {
			return key, value, parent
		}
		key, value, parent = k, v, holder
	}
	return key, value, parent
}

// child returns the key and the value that step names below n, or nil.
func child(n *yaml.Node, step any) (key, value *yaml.Node) {
	switch step := step.(type) {
	case string:
		if n.Kind != yaml.MappingNode {
			return nil, nil
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if k := n.Content[i]; k.Kind == yaml.ScalarNode && k.Value == step {
				return k, n.Content[i+1]
			}
		}
	case int:
		if n.Kind == yaml.SequenceNode && step >= 0 && step < len(n.Content) {
			return n.Content[step], n.Content[step]
		}
	default:
		panic(fmt.Sprintf("strictyaml: a path holds strings and ints, not %T", step))
	}
	return nil, nil
}

// target follows an alias to the node it stands for.
func target(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}
