package notify

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	texttemplate "text/template"
	"time"

	"scimbridge/internal/contractor"
)

//go:embed templates/*.tmpl
var builtIn embed.FS

// Templates are the words of mails and pages, for each language digest.LANG.txt.tmpl (which also defines "subject"),
// digest.LANG.html.tmpl and page.LANG.html.tmpl.
type Templates struct {
	text map[string]*texttemplate.Template
	html map[string]*htmltemplate.Template // "digest.de", "page.de"
}

// maxTemplate bounds one template file, in bytes.
const maxTemplate = 256 << 10

// LoadTemplates reads the built-in templates and, over them, those of a folder ("": none). A file of another name, one that
// cannot be parsed and one that fails on a sample are refused, all at once.
func LoadTemplates(folder string) (*Templates, error) {
	t := &Templates{text: map[string]*texttemplate.Template{}, html: map[string]*htmltemplate.Template{}}
	inside, err := fs.Sub(builtIn, "templates")
	if err != nil {
		return nil, err
	}
	if err := t.read(inside, "built-in"); err != nil {
		return nil, err
	}
	if folder != "" {
		if err := t.read(os.DirFS(folder), folder); err != nil {
			return nil, err
		}
	}
	return t, t.try()
}

func (t *Templates) read(from fs.FS, where string) error {
	entries, err := fs.ReadDir(from, ".")
	if err != nil {
		return fmt.Errorf("notify.templates: the folder cannot be read: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".tmpl") {
			continue
		}
		if err := t.add(from, e.Name()); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path.Join(where, e.Name()), err))
		}
	}
	return errors.Join(errs...)
}

func (t *Templates) add(from fs.FS, name string) error {
	parts := strings.Split(name, ".")
	known := len(parts) == 4 && (parts[0] == "digest" && (parts[2] == "txt" || parts[2] == "html") || parts[0] == "page" && parts[2] == "html")
	if !known || len(parts[1]) != 2 {
		return errors.New("no template has this name; the names are digest.LANG.txt.tmpl, digest.LANG.html.tmpl and page.LANG.html.tmpl, LANG being two letters")
	}
	data, err := fs.ReadFile(from, name)
	switch {
	case err != nil:
		return err
	case len(data) > maxTemplate:
		return fmt.Errorf("it is larger than %d bytes", maxTemplate)
	}
	if parts[2] == "txt" {
		tt, err := texttemplate.New(name).Option("missingkey=error").Parse(string(data))
		if err == nil && tt.Lookup("subject") == nil {
			err = errors.New(`it defines no subject; add {{define "subject"}}…{{end}}`)
		}
		t.text[parts[1]] = tt
		return err
	}
	ht, err := htmltemplate.New(name).Option("missingkey=error").Parse(string(data))
	t.html[parts[0]+"."+parts[1]] = ht
	return err
}

// try runs every template on a sample, so that a wrong name shows at the start and not in a sponsor's mail.
func (t *Templates) try() error {
	at := time.Date(2027, 3, 31, 21, 59, 59, 0, time.UTC)
	item := view{Name: "Ada Example", Email: "ada@vendor.example", Vendor: "acme", Until: at, Words: "words", Link: "https://scim.example/s/x"}
	sample := digest{Sponsor: "Sam Sponsor", Ending: []view{item}, Holds: []view{item}, Sponsored: []view{item}, Attest: []view{item}, Expires: at}
	page := pageView{
		Name: "Ada Example", Vendor: "acme", End: at, Zone: "UTC", Token: "t", Min: "2027-04-01", Max: "2027-06-29", Over: "2027-04-30",
		CanExtend: true, Attest: true, Nonce: "n",
	}
	var errs []error
	for _, lang := range t.languages() {
		if !t.has(lang) {
			errs = append(errs, fmt.Errorf("notify.templates: the language %s needs digest.%s.txt.tmpl, digest.%s.html.tmpl and page.%s.html.tmpl", lang, lang, lang, lang))
			continue
		}
		_, _, _, err := t.render(lang, &sample)
		errs = append(errs, err)
		for _, state := range []string{"", stateGone, stateUsed, stateExtended, stateAsked, stateEnded, stateConfirmed, stateBadDate, stateForm, stateBusy, stateError} {
			page.State = state
			_, err := t.page(lang, &page)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (t *Templates) languages() []string {
	var list []string
	for l := range t.text {
		list = append(list, l)
	}
	for k := range t.html {
		if _, l, _ := strings.Cut(k, "."); !slices.Contains(list, l) {
			list = append(list, l)
		}
	}
	slices.Sort(list)
	return list
}

func (t *Templates) has(lang string) bool {
	return t.text[lang] != nil && t.html["digest."+lang] != nil && t.html["page."+lang] != nil
}

// language is the first two letters of a preferredLanguage or an Accept-Language header where there are templates for them.
func (t *Templates) language(wish, otherwise string) string {
	for _, w := range strings.SplitN(wish, ",", 10) {
		w = strings.ToLower(strings.TrimSpace(w))
		if len(w) >= 2 && t.has(w[:2]) {
			return w[:2]
		}
	}
	return otherwise
}

// view is one line of a mail.
type view struct {
	Name   string
	Email  string
	Vendor string
	Until  time.Time // in the zone of the digests; zero: none
	Words  string
	Link   string // "": none
}

// digest is what the templates of a mail get.
type digest struct {
	Sponsor   string // displayName
	Ending    []view
	Holds     []view
	Sponsored []view
	Attest    []view
	Expires   time.Time // of the links
}

// message renders a mail.
func (t *Templates) message(n *Notifier, m contractor.Mail, s contractor.Sponsor, items []contractor.NoticeItem, now time.Time) (*Message, error) {
	d := digest{Sponsor: s.Name, Expires: now.In(n.Zone)}
	for i := range items {
		it := &items[i]
		v := view{Name: it.Name, Email: it.Email, Vendor: it.Vendor, Words: it.Words}
		if !it.Until.IsZero() {
			v.Until = it.Until.In(n.Zone)
		}
		if it.Link.ID != "" && it.Link.Used.IsZero() && now.Before(it.Link.Expires) {
			v.Link, d.Expires = n.LinkBase+"/s/"+n.keys.text(it.Link), it.Link.Expires.In(n.Zone)
		}
		switch it.Kind {
		case contractor.NoticeEnding:
			d.Ending = append(d.Ending, v)
		case contractor.NoticeHold:
			d.Holds = append(d.Holds, v)
		case contractor.NoticeSponsor:
			d.Sponsored = append(d.Sponsored, v)
		case contractor.NoticeAttest:
			d.Attest = append(d.Attest, v)
		}
	}
	subject, text, html, err := t.render(t.language(s.Language, n.Language), &d)
	if err != nil {
		return nil, &contractor.Failure{Op: "write mail", Verdict: contractor.VerdictPermanent, Message: "a template failed; check the folder notify.templates", Cause: err}
	}
	return &Message{ID: m.ID, To: s.Mails, Subject: subject, Text: text, HTML: html, Date: now}, nil
}

func (t *Templates) render(lang string, d *digest) (subject, text, html string, err error) {
	var s, x, h bytes.Buffer
	if err := t.text[lang].ExecuteTemplate(&s, "subject", d); err != nil {
		return "", "", "", err
	}
	if err := t.text[lang].Execute(&x, d); err != nil {
		return "", "", "", err
	}
	if err := t.html["digest."+lang].Execute(&h, d); err != nil {
		return "", "", "", err
	}
	return strings.Join(strings.Fields(s.String()), " "), strings.TrimLeft(x.String(), "\n"), h.String(), nil
}

func (t *Templates) page(lang string, v *pageView) ([]byte, error) {
	var b bytes.Buffer
	err := t.html["page."+lang].Execute(&b, v)
	return b.Bytes(), err
}
