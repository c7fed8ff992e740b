package scim

import (
	"net/http"
	"strings"

	"scimbridge/internal/contractor"
)

// renderer makes the renderer of one request.
func (k *call) renderer(attributes, excluded []string) *renderer {
	return &renderer{base: k.door.baseURL(k.Request()), groups: k.door.groups, project: project(k.door.users, attributes, excluded)}
}

// asked reads attributes and excludedAttributes from the query.
func (k *call) asked() *renderer {
	if k.Request().URL.RawQuery == "" {
		return k.renderer(nil, nil)
	}
	q := k.QueryParams()
	return k.renderer(splitNames(q["attributes"]), splitNames(q["excludedAttributes"]))
}

// sendUser answers with one User.
func (k *call) sendUser(status int, r *renderer, e *contractor.Engagement) error {
	h := k.Response().Header()
	h.Set("ETag", etag(e.Version))
	h.Set("Location", r.base+"/Users/"+e.ID)
	b := k.door.bodies.take(len(e.Resource) + 768)
	defer k.door.bodies.give(k.Request(), b)
	*b = r.user(*b, e)
	return k.send(status, *b)
}

func (k *call) getUser() error {
	e, err := k.door.store.Show(k.context(), k.vendor.Name, k.Param("id"))
	if err != nil {
		return err
	}
	if conditionsOf(k.Request().Header).unchanged(e.Version) {
		k.Response().Header().Set("ETag", etag(e.Version))
		k.Response().WriteHeader(http.StatusNotModified)
		return nil
	}
	return k.sendUser(http.StatusOK, k.asked(), &e)
}

func (k *call) postUser() error {
	if err := k.mayWrite(); err != nil {
		return err
	}
	sent, err := k.body(k.door.limits.Body, k.door.limits.json())
	if err != nil {
		return err
	}
	e, err := k.create(k.context(), "", &sent)
	if err != nil {
		return err
	}
	r := k.asked()
	r.secret = true
	return k.sendUser(http.StatusCreated, r, &e)
}

func (k *call) putUser() error {
	if err := k.mayWrite(); err != nil {
		return err
	}
	sent, err := k.body(k.door.limits.Body, k.door.limits.json())
	if err != nil {
		return err
	}
	e, err := k.update(k.context(), k.Param("id"), conditionsOf(k.Request().Header), kindReplaced, k.replacing(k.Param("id"), &sent))
	if err != nil {
		return err
	}
	r := k.asked()
	r.secret = true
	return k.sendUser(http.StatusOK, r, &e)
}

// replacing makes the change of a PUT: what is not sent is gone, but for "active": leaving it out must neither end nor
// reactivate a contract (Okta).
func (k *call) replacing(id string, sent *value) change {
	return func(old *draft) (*draft, error) {
		if v := sent.fold("id"); v != nil && !v.empty() && (v.kind != text || v.text != id) {
			return nil, &contractor.Error{Code: contractor.CodeInvalid, SCIMType: scimMutability, Path: "id", Message: "is not the id in the address"}
		}
		d, err := read(k.names, sent)
		if err != nil {
			return nil, err
		}
		if active := old.root.get("active"); !d.active && active != nil {
			place(&d.root, k.names.t.root.byName["active"], *active)
		}
		return d, nil
	}
}

func (k *call) patchUser() error {
	if err := k.mayWrite(); err != nil {
		return err
	}
	sent, err := k.body(k.door.limits.Body, k.door.limits.json())
	if err != nil {
		return err
	}
	id := k.Param("id")
	apply, err := k.patching(id, &sent)
	if err != nil {
		return err
	}
	e, err := k.update(k.context(), id, conditionsOf(k.Request().Header), kindPatched, apply)
	if err != nil {
		return err
	}
	r := k.asked()
	r.secret = speaksOf(&sent, "securityid")
	return k.sendUser(http.StatusOK, r, &e)
}

// speaksOf reports whether a name, or a path, in what was sent has the lower-case word in it: an attribute that is returned on
// request only is returned to the client that wrote it (RFC 7643 section 7).
func speaksOf(v *value, word string) bool {
	if v.kind == text && strings.Contains(strings.ToLower(v.text), word) {
		return true
	}
	for i := range v.kids {
		if strings.Contains(strings.ToLower(v.kids[i].name), word) || speaksOf(&v.kids[i].value, word) {
			return true
		}
	}
	return false
}

const urnPatchOp = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

// patching makes the change of a PATCH. All operations apply, or none.
func (k *call) patching(id string, sent *value) (change, error) {
	if sent.kind != object {
		return nil, syntaxErrorf("the body must be a JSON object")
	}
	if err := messageSchema(sent, urnPatchOp); err != nil {
		return nil, err
	}
	ops := sent.fold("Operations")
	if ops == nil || ops.kind != list || len(ops.kids) == 0 {
		return nil, syntaxErrorf("the body has no Operations; send at least one")
	}
	if n := k.door.limits.PatchOps; len(ops.kids) > n {
		return nil, contractor.Errorf(contractor.CodeTooLarge, "the request has %d operations; send at most %d", len(ops.kids), n)
	}
	return func(old *draft) (*draft, error) {
		in := &intake{t: k.names.t, names: k.names, unused: old.unused.clone()}
		p := patcher{in: in, id: id, root: old.root.clone(), makes: k.profile.makes}
		for i := range ops.kids {
			if err := p.apply(&ops.kids[i].value); err != nil {
				return nil, err
			}
		}
		d := &draft{n: k.names, root: p.root, aliases: in.direct}
		if err := d.adopt(in); err != nil {
			return nil, err
		}
		d.unused = in.unused
		return d, d.keys()
	}, nil
}

// messageSchema refuses a body that says it is another kind of message. One that says nothing is let through.
func messageSchema(sent *value, urn string) error {
	s := sent.fold("schemas")
	if s == nil || s.empty() {
		return nil
	}
	items := s.kids
	if s.kind == text {
		items = []member{{"", *s}}
	}
	for i := range items {
		if strings.EqualFold(items[i].value.text, urn) {
			return nil
		}
	}
	return syntaxErrorf("schemas must be [%q] here", urn)
}

func (k *call) deleteUser() error {
	if err := k.mayWrite(); err != nil {
		return err
	}
	if err := k.remove(k.context(), k.Param("id"), conditionsOf(k.Request().Header)); err != nil {
		return err
	}
	k.Response().WriteHeader(http.StatusNoContent)
	return nil
}
