package notify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The folder that is shipped holds the built-in words, to be changed there.
func TestShippedTemplatesAreTheBuiltIn(t *testing.T) {
	entries, err := builtIn.ReadDir("templates")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		inside, err := builtIn.ReadFile("templates/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		shipped, err := os.ReadFile(filepath.Join("..", "..", "configs", "templates", e.Name()))
		if err != nil || string(shipped) != string(inside) {
			t.Errorf("configs/templates/%s is not internal/notify/templates/%s: %v", e.Name(), e.Name(), err)
		}
	}
}

func TestTemplatesAreCheckedWhenLoaded(t *testing.T) {
	for name, tt := range map[string]struct{ file, text, want string }{
		"a wrong name":     {"digest.txt.tmpl", "x", "no template has this name"},
		"a syntax error":   {"digest.en.txt.tmpl", "{{", "digest.en.txt.tmpl"},
		"no subject":       {"digest.en.txt.tmpl", "x", "defines no subject"},
		"an unknown field": {"page.en.html.tmpl", "{{.Nowhere}}", "Nowhere"},
		"half a language":  {"digest.fr.html.tmpl", "x", "the language fr needs"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadTemplates(dir); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	if _, err := LoadTemplates(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there was accepted")
	}
}

func TestNamesCannotBecomeMarkup(t *testing.T) {
	ts, err := LoadTemplates("")
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range []string{"en", "de"} {
		b, err := ts.page(lang, &pageView{Name: `<script>alert(1)</script>`, CanExtend: true})
		if err != nil || strings.Contains(string(b), "<script>") {
			t.Errorf("%s: %v %s", lang, err, b)
		}
		_, _, html, err := ts.render(lang, &digest{Ending: []view{{Name: "<b>x</b>", Link: "javascript:alert(1)"}}})
		if err != nil || strings.Contains(html, "<b>x</b>") || strings.Contains(html, "javascript:alert") {
			t.Errorf("%s: %v %s", lang, err, html)
		}
	}
}
