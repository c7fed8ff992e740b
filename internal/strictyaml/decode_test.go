package strictyaml_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scimbridge/internal/strictyaml"
)

type level int

func (l *level) UnmarshalText(text []byte) error {
	switch string(text) {
	case "low":
		*l = 1
	case "high":
		*l = 2
	default:
		return fmt.Errorf("%q is not a level; write low or high", text)
	}
	return nil
}

type name string

func (n *name) UnmarshalText(text []byte) error {
	if strings.Contains(string(text), " ") {
		return errors.New("a name has no blanks")
	}
	*n = name(text)
	return nil
}

type refused struct{}

func (*refused) UnmarshalText([]byte) error { return errors.New("this key is gone; write text") }

type common struct {
	Note string `yaml:"note"`
}

type sample struct {
	Text   string           `yaml:"text"`
	Flag   bool             `yaml:"flag"`
	Small  int8             `yaml:"small"`
	Count  int              `yaml:"count"`
	Byte   uint8            `yaml:"byte"`
	Ratio  float64          `yaml:"ratio"`
	Wait   time.Duration    `yaml:"wait"`
	Level  level            `yaml:"level"`
	Maybe  *int             `yaml:"maybe"`
	Levels []level          `yaml:"levels"`
	Words  []string         `yaml:"words"`
	Map    map[string]int   `yaml:"map"`
	Named  map[name]level   `yaml:"named"`
	Sub    *sub             `yaml:"sub"`
	Items  []sub            `yaml:"items"`
	Free   any              `yaml:"free"`
	Subs   map[string]*sub  `yaml:"subs"`
	Lists  map[string][]int `yaml:"lists"`
	common `yaml:",inline"`
	Old    refused `yaml:"old_txt,hidden"`

	Untagged string
	Skipped  string `yaml:"-"`
}

type sub struct {
	A int `yaml:"a"`
	B int `yaml:"b"`
}

func TestDecodeFillsWhatTheFileSays(t *testing.T) {
	three := 3
	tests := []struct {
		name, file string
		before     sample
		want       sample
	}{
		{"every kind", `
text: hello
flag: true
small: -128
count: 12
byte: 255
ratio: 0.5
wait: 1m30s
level: high
maybe: 3
levels: [low, high]
words:
  - a
  - "b c"
map: {x: 1, y: 2}
named: {n: low}
sub: {a: 1}
items: [{a: 1}, {b: 2}]
subs: {s: {b: 3}}
lists: {l: [1, 2]}
note: inlined
`, sample{}, sample{
			Text: "hello", Flag: true, Small: -128, Count: 12, Byte: 255, Ratio: 0.5, Wait: 90 * time.Second, Level: 2, Maybe: &three,
			Levels: []level{1, 2}, Words: []string{"a", "b c"}, Map: map[string]int{"x": 1, "y": 2}, Named: map[name]level{"n": 1},
			Sub: &sub{A: 1}, Items: []sub{{A: 1}, {B: 2}}, Subs: map[string]*sub{"s": {B: 3}}, Lists: map[string][]int{"l": {1, 2}},
			common: common{Note: "inlined"},
		}},
		{"text that looks like something else is kept letter for letter", "words: [0123, 1e3, true, 2026-01-01, NO, 1_000]\n", sample{},
			sample{Words: []string{"0123", "1e3", "true", "2026-01-01", "NO", "1_000"}}},
		{"defaults stay where the file is silent", "sub: {a: 1}\n", sample{Text: "kept", Sub: &sub{A: 7, B: 8}}, sample{Text: "kept", Sub: &sub{A: 1, B: 8}}},
		{"a list and a map replace their defaults whole", "words: [x]\nmap: {a: 1}\n",
			sample{Words: []string{"p", "q"}, Map: map[string]int{"z": 9}}, sample{Words: []string{"x"}, Map: map[string]int{"a": 1}}},
		{"anything", "free: {a: [1, 2.5, true, x, \"3\"]}\n", sample{},
			sample{Free: map[string]any{"a": []any{int64(1), 2.5, true, "x", "3"}}}},
		{"aliases", "sub: &s {a: 4}\nitems: [*s, *s]\n", sample{}, sample{Sub: &sub{A: 4}, Items: []sub{{A: 4}, {A: 4}}}},
		{"empty text, list and mapping", `{text: "", words: [], map: {}}`, sample{Text: "x"}, sample{Words: []string{}, Map: map[string]int{}}},
		{"a whole number where a fraction may stand", "ratio: 2\n", sample{}, sample{Ratio: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, problems := strictyaml.Parse("f", []byte(tt.file))
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			got := tt.before
			if problems := doc.Decode(&got); len(problems) > 0 {
				t.Fatal(problems)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(sample{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeMessages(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"unknown key with a neighbour", "txt: a\n", `1:1: unknown key "txt" (did you mean "text"?)`},
		{"unknown key with none", "sub: {zzz: 1}\n", `1:7: unknown key "zzz"; known here: a, b`},
		{"a hidden key", "old_txt: a\n", "1:10: this key is gone; write text"},
		{"a hidden key is not suggested", "old_tx: a\n", `1:1: unknown key "old_tx"; known here: text, flag, small, count, byte, ratio, wait, level, maybe, levels, words, map, named, sub, items, free, subs, lists, note`},
		{"a field without a tag is no key", "Untagged: x\nSkipped: y\n", `1:1: unknown key "Untagged"; known here: text, flag, small, count, byte, ratio, wait, level, maybe, levels, words, map, named, sub, items, free, subs, lists, note
f:2:1: unknown key "Skipped"; known here: text, flag, small, count, byte, ratio, wait, level, maybe, levels, words, map, named, sub, items, free, subs, lists, note`},
		{"list for text", "text: [a]\n", "1:7: text is wanted, not a list"},
		{"keys for text", "text: {a: b}\n", "1:7: text is wanted, not keys with values"},
		{"text for a number", "count: many\n", `1:8: a whole number is wanted, not "many"`},
		{"list for a number", "count: [1]\n", "1:8: a whole number is wanted, not a list"},
		{"quotes around a number", `count: "12"`, `1:8: a whole number is wanted, not the text "12"`},
		{"fraction for a whole number", "count: 1.5\n", "1:8: a whole number is wanted, not 1.5"},
		{"boolean for a number", "count: true\n", "1:8: a whole number is wanted, not true"},
		{"octal", "count: 0600\n", `1:8: write "0600" in plain decimal digits`},
		{"hexadecimal", "count: 0x1f\n", `1:8: write "0x1f" in plain decimal digits`},
		{"underscores", "count: 1_000\n", `1:8: write "1_000" in plain decimal digits`},
		{"above the range", "small: 128\n", `1:8: "128" is out of range; write a number from -128 to 127`},
		{"below the range", "byte: -1\n", `1:7: "-1" is out of range; write a number from 0 to 255`},
		{"far above the range", "count: 99999999999999999999\n", `1:8: "99999999999999999999" is out of range; write a number from -9223372036854775808 to 9223372036854775807`},
		{"text for a fraction", "ratio: half\n", `1:8: a number is wanted, not "half"`},
		{"list for a fraction", "ratio: [1]\n", "1:8: a number is wanted, not a list"},
		{"infinity", "ratio: .inf\n", "1:8: a number is wanted, not .inf"},
		{"not a number", "ratio: nan\n", `1:8: a number is wanted, not "nan"`},
		{"yes", "flag: yes\n", `1:7: true or false is wanted, not "yes"; write true`},
		{"off", "flag: Off\n", `1:7: true or false is wanted, not "Off"; write false`},
		{"text for a boolean", "flag: maybe\n", `1:7: true or false is wanted, not "maybe"`},
		{"quotes around a boolean", `flag: "true"`, `1:7: true or false is wanted, not "true"; write true`},
		{"number for a boolean", "flag: 1\n", "1:7: true or false is wanted, not 1"},
		{"duration without a unit", "wait: 30\n", `1:7: "30" is not a duration; write 30s, 5m or 12h`},
		{"list for a duration", "wait: [30s]\n", "1:7: a duration such as 30s is wanted, not a list"},
		{"own type's word", "level: mid\n", `1:8: "mid" is not a level; write low or high`},
		{"list for an own type", "level: [low]\n", "1:8: a single value is wanted, not a list"},
		{"own type in a list", "levels: [low, mid, top]\n", "1:15: \"mid\" is not a level; write low or high\nf:1:20: \"top\" is not a level; write low or high"},
		{"own type as a key", "named: {a b: low}\n", "1:9: a name has no blanks"},
		{"text for a list", "words: a\n", `1:8: a list is wanted, not "a"; write ["a"]`},
		{"number for a list", "words: 5\n", `1:8: a list is wanted, not 5; write ["5"]`},
		{"keys for a list", "words: {a: 1}\n", "1:8: a list is wanted, not keys with values"},
		{"text for keys", "sub: x\n", `1:6: keys with values are wanted, not "x"`},
		{"list for keys", "sub: [a]\n", "1:6: keys with values are wanted, not a list"},
		{"list for names", "map: [a]\n", "1:6: names with values are wanted, not a list"},
		{"list behind an alias", "words: &w [a]\ntext: *w\n", "1:8: text is wanted, not a list"},
		{"no value", "sub:\nflag: true\n", "1:5: a value is missing; write one or remove the key"},
		{"null", "text: null\n", `1:7: "null" stands for no value; remove the key, or put it in quotes if it is text`},
		{"tilde in a list", "words: [~]\n", `1:9: "~" stands for no value; remove the key, or put it in quotes if it is text`},
		{"null where anything may stand", "free: [null]\n", `1:8: "null" stands for no value; remove the key, or put it in quotes if it is text`},
		{"text for the whole file", "hello\n", `1:1: keys with values are wanted, not "hello"`},
		{"a very long value is cut", "count: " + strings.Repeat("é", 70), `1:8: a whole number is wanted, not "` + strings.Repeat("é", 60) + `…"`},
		{"all mistakes at once", "txt: a\ncount: x\nitems:\n  - {a: 1}\n  - {a: y, c: 2}\nwait: 3\n", `1:1: unknown key "txt" (did you mean "text"?)
f:2:8: a whole number is wanted, not "x"
f:5:9: a whole number is wanted, not "y"
f:5:12: unknown key "c"; known here: a, b
f:6:7: "3" is not a duration; write 30s, 5m or 12h`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, problems := strictyaml.Parse("f", []byte(tt.file))
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			var got sample
			if diff := cmp.Diff("f:"+tt.want, doc.Decode(&got).Error()); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeKeepsThePlacesOfGoodItemsBesideBadOnes(t *testing.T) {
	doc, problems := strictyaml.Parse("f", []byte("items: [{a: x}, {a: 2}]\nmap: {a: x, b: 2}\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var got sample
	if problems := doc.Decode(&got); len(problems) != 2 {
		t.Fatalf("problems: %v", problems)
	}
	want := sample{Items: []sub{{}, {A: 2}}, Map: map[string]int{"b": 2}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(sample{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDecodeTakesTheFirstOfARepeatedKey(t *testing.T) {
	doc, problems := strictyaml.Parse("f", []byte("count: 1\ncount: x\n"))
	if len(problems) != 1 {
		t.Fatal(problems)
	}
	var got sample
	if problems := doc.Decode(&got); len(problems) > 0 || got.Count != 1 {
		t.Errorf("count %d, problems %v", got.Count, problems)
	}
}

func TestDecodeBoundsItsReport(t *testing.T) {
	doc, problems := strictyaml.Parse("f", []byte("words: ["+strings.Repeat("[],", 5000)+"]\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var got sample
	list := doc.Decode(&got)
	if len(list) != 200 {
		t.Errorf("%d problems, want 200", len(list))
	}
	if last := list[len(list)-1].Message; last != "text is wanted, not a list; more mistakes follow that are not listed" {
		t.Errorf("last message %q", last)
	}
}

func TestDecodePanicsOnMistakesOfItsCaller(t *testing.T) {
	doc, _ := strictyaml.Parse("f", []byte("a: 1\n"))
	for name, into := range map[string]any{
		"no pointer":  sample{},
		"nil pointer": (*sample)(nil),
		"a channel": &struct {
			A chan int `yaml:"a"`
		}{},
		"an interface with methods": &struct {
			A error `yaml:"a"`
		}{},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			t.Error("decoded:", doc.Decode(into))
		})
	}
}
