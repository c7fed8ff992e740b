package strictyaml

import (
	"cmp"
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Decode fills into, a pointer to a struct or map, from the document and returns every
// mistake it met. What the file does not mention stays as it was, so defaults are set
// before; a list or map in the file replaces the default whole.
//
// Struct fields take part when they have a tag `yaml:"name"`; a struct field tagged
// `yaml:",inline"` lends its fields to the struct around it. Values may be strings, bools,
// integers, floats, time.Duration, types that implement encoding.TextUnmarshaler (their
// error is the message), structs, pointers, slices, maps with text keys, and any.
// A text may be written without quotes even where YAML would see a number, and is kept
// letter for letter. A key without a value is a mistake. A field tagged
// `yaml:"name,hidden"` is decoded but never named in a message: a key that is known only to
// be refused by its type's UnmarshalText. Decode panics on other Go types:
// that is a mistake of the caller.
func (d *Document) Decode(into any) Problems {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic(fmt.Sprintf("strictyaml: Decode wants a pointer, not %T", into))
	}
	dec := decoder{file: d.file}
	dec.value(d.root, v.Elem())
	dec.problems.Sort()
	if len(dec.problems) > maxProblems {
		dec.problems = dec.problems[:maxProblems]
		last := &dec.problems[maxProblems-1]
		last.Message += "; more mistakes follow that are not listed"
	}
	return dec.problems
}

type decoder struct {
	file     string
	problems Problems
}

// add reports a mistake and returns false.
func (d *decoder) add(n *yaml.Node, format string, args ...any) bool {
	d.problems = append(d.problems, Problem{File: d.file, Pos: position(n), Message: fmt.Sprintf(format, args...)})
	return false
}

// readsText says whether t decodes itself by UnmarshalText, called on a pointer to it.
func readsText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// value decodes n into v and says whether it could. After maxProblems mistakes it only
// returns, which bounds the report on a file that is wrong throughout.
func (d *decoder) value(n *yaml.Node, v reflect.Value) bool {
	if len(d.problems) > maxProblems {
		return false
	}
	n = target(n)
	if n.Kind == yaml.ScalarNode && n.Tag == nullTag {
		if n.Value == "" {
			return d.add(n, "a value is missing; write one or remove the key")
		}
		return d.add(n, "%s stands for no value; remove the key, or put it in quotes if it is text", quote(n.Value))
	}
	if v.Kind() == reflect.Pointer {
		p := v
		if v.IsNil() {
			p = reflect.New(v.Type().Elem())
		}
		ok := d.value(n, p.Elem())
		if ok {
			v.Set(p)
		}
		return ok
	}
	if readsText(v.Type()) {
		return d.text(n, v)
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		return d.duration(n, v)
	}
	switch v.Kind() {
	case reflect.Struct:
		return d.structure(n, v)
	case reflect.Map:
		return d.mapping(n, v)
	case reflect.Slice:
		return d.list(n, v)
	case reflect.Interface:
		return d.free(n, v)
	}
	return d.scalar(n, v)
}

// text decodes into an own type by its UnmarshalText.
func (d *decoder) text(n *yaml.Node, v reflect.Value) bool {
	if n.Kind != yaml.ScalarNode {
		return d.add(n, "a single value is wanted, not %s", describe(n))
	}
	into, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr())
	if !ok {
		panic("strictyaml: " + v.Type().String() + " does not read text") // readsText said it does
	}
	if err := into.UnmarshalText([]byte(n.Value)); err != nil {
		return d.add(n, "%v", err)
	}
	return true
}

func (d *decoder) duration(n *yaml.Node, v reflect.Value) bool {
	if n.Kind != yaml.ScalarNode {
		return d.add(n, "a duration such as 30s is wanted, not %s", describe(n))
	}
	t, err := time.ParseDuration(n.Value)
	if err != nil {
		return d.add(n, "%s is not a duration; write 30s, 5m or 12h", quote(n.Value))
	}
	v.SetInt(int64(t))
	return true
}

// field is one key that a struct knows.
type field struct {
	name   string
	index  []int
	hidden bool
}

// fields lists the keys of a struct type in the order of its declaration.
func fields(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if options == "inline" {
			for _, inner := range fields(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				out = append(out, inner)
			}
		} else if name != "" && name != "-" {
			out = append(out, field{name, []int{i}, options == "hidden"})
		}
	}
	return out
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value) bool {
	if n.Kind != yaml.MappingNode {
		return d.add(n, "keys with values are wanted, not %s", describe(n))
	}
	known := fields(v.Type())
	var names []string // for messages
	for _, f := range known {
		if !f.hidden {
			names = append(names, f.name)
		}
	}
	ok := true
	for k, val := range entries(n) {
		if i := slices.IndexFunc(known, func(f field) bool { return f.name == k.Value }); i >= 0 {
			ok = d.value(val, v.FieldByIndex(known[i].index)) && ok
		} else {
			ok = d.add(k, "unknown key %s%s", quote(k.Value), cmp.Or(didYouMean(k.Value, names), "; known here: "+strings.Join(names, ", ")))
		}
	}
	return ok
}

// entries yields the keys and values of a mapping, without the keys that Parse refused:
// those that are not one word, and all but the first of each.
func entries(n *yaml.Node) func(yield func(k, v *yaml.Node) bool) {
	return func(yield func(k, v *yaml.Node) bool) {
		seen := make(map[string]bool, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" || k.Value == "" || seen[k.Value] {
				continue
			}
			seen[k.Value] = true
			if !yield(k, n.Content[i+1]) {
				return
			}
		}
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value) bool {
	if n.Kind != yaml.MappingNode {
		return d.add(n, "names with values are wanted, not %s", describe(n))
	}
	t := v.Type()
	m := reflect.MakeMap(t)
	ok := true
	for k, val := range entries(n) {
		key, item := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		keyOK := true
		if readsText(t.Key()) {
			keyOK = d.text(k, key)
		} else {
			key.SetString(k.Value)
		}
		if d.value(val, item) && keyOK {
			m.SetMapIndex(key, item)
		} else {
			ok = false
		}
	}
	v.Set(m)
	return ok
}

func (d *decoder) list(n *yaml.Node, v reflect.Value) bool {
	if n.Kind != yaml.SequenceNode {
		if n.Kind == yaml.ScalarNode {
			return d.add(n, "a list is wanted, not %s; write [%s]", describe(n), quote(n.Value))
		}
		return d.add(n, "a list is wanted, not %s", describe(n))
	}
	// Items that could not be decoded keep their place, so that an index into the slice is
	// an index into the file's list.
	s := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	ok := true
	for i, item := range n.Content {
		ok = d.value(item, s.Index(i)) && ok
	}
	v.Set(s)
	return ok
}

// free decodes without a wanted type: map[string]any, []any, string, int64, float64 or bool.
func (d *decoder) free(n *yaml.Node, v reflect.Value) bool {
	if v.NumMethod() != 0 {
		panic(fmt.Sprintf("strictyaml: cannot decode into %s", v.Type()))
	}
	var into reflect.Value
	switch {
	case n.Kind == yaml.MappingNode:
		into = reflect.New(reflect.TypeFor[map[string]any]())
	case n.Kind == yaml.SequenceNode:
		into = reflect.New(reflect.TypeFor[[]any]())
	case n.Tag == "!!int":
		into = reflect.New(reflect.TypeFor[int64]())
	case n.Tag == "!!float":
		into = reflect.New(reflect.TypeFor[float64]())
	case n.Tag == "!!bool":
		into = reflect.New(reflect.TypeFor[bool]())
	default:
		into = reflect.New(reflect.TypeFor[string]())
	}
	ok := d.value(n, into.Elem())
	v.Set(into.Elem())
	return ok
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value) bool {
	var want string
	switch v.Kind() {
	case reflect.String:
		want = "text"
	case reflect.Bool:
		want = "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		want = "a whole number"
	case reflect.Float32, reflect.Float64:
		want = "a number"
	default:
		panic(fmt.Sprintf("strictyaml: cannot decode into %s", v.Type()))
	}
	if n.Kind != yaml.ScalarNode {
		return d.add(n, "%s is wanted, not %s", want, describe(n))
	}
	switch want {
	case "text":
		v.SetString(n.Value)
		return true
	case "true or false":
		return d.boolean(n, v)
	case "a number":
		return d.float(n, v)
	}
	return d.integer(n, v)
}

func (d *decoder) boolean(n *yaml.Node, v reflect.Value) bool {
	if n.Tag == "!!bool" {
		v.SetBool(strings.EqualFold(n.Value, "true"))
		return true
	}
	switch strings.ToLower(n.Value) {
	case "true", "yes", "on", "y":
		return d.add(n, "true or false is wanted, not %s; write true", quote(n.Value))
	case "false", "no", "off", "n":
		return d.add(n, "true or false is wanted, not %s; write false", quote(n.Value))
	}
	return d.add(n, "true or false is wanted, not %s", describe(n))
}

func (d *decoder) float(n *yaml.Node, v reflect.Value) bool {
	f, err := strconv.ParseFloat(n.Value, v.Type().Bits())
	if quoted(n) || err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return d.add(n, "a number is wanted, not %s", describe(n))
	}
	v.SetFloat(f)
	return true
}

// integer accepts decimal digits alone: 0600, 0x1f and 1_000 mean different numbers to
// different readers of YAML.
func (d *decoder) integer(n *yaml.Node, v reflect.Value) bool {
	digits := strings.TrimPrefix(n.Value, "-")
	plain := digits != "" && strings.Trim(digits, "0123456789") == "" && (digits == "0" || digits[0] != '0')
	if quoted(n) || n.Tag != "!!int" && !plain {
		return d.add(n, "a whole number is wanted, not %s", describe(n))
	}
	if !plain {
		return d.add(n, "write %s in plain decimal digits", quote(n.Value))
	}
	if v.CanUint() {
		most := uint64(math.MaxUint64) >> (64 - v.Type().Bits())
		u, err := strconv.ParseUint(n.Value, 10, v.Type().Bits())
		if err != nil {
			return d.add(n, "%s is out of range; write a number from 0 to %d", quote(n.Value), most)
		}
		v.SetUint(u)
		return true
	}
	most := int64(math.MaxInt64) >> (64 - v.Type().Bits())
	i, err := strconv.ParseInt(n.Value, 10, v.Type().Bits())
	if err != nil {
		return d.add(n, "%s is out of range; write a number from %d to %d", quote(n.Value), -most-1, most)
	}
	v.SetInt(i)
	return true
}

func quoted(n *yaml.Node) bool {
	return n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
}

// describe says what n is: "a list", or the text itself.
func describe(n *yaml.Node) string {
	n = target(n)
	switch n.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	}
	switch {
	case n.Tag == "!!bool" || n.Tag == "!!int" || n.Tag == "!!float":
		return n.Value
	case quoted(n) && n.Value != "":
		return "the text " + quote(n.Value)
	}
	return quote(n.Value)
}
