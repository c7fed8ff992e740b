package scim

import (
	"strings"

	"github.com/elimity-com/scim/optional"
	"github.com/elimity-com/scim/schema"

	"scimbridge/internal/contractor"
)

// The schemas that the door declares. Contractor is our own (product.md, "The contractor extension").
const (
	urnUser       = schema.UserSchema
	urnGroup      = schema.GroupSchema
	urnEnterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	urnContractor = contractor.ExtensionURN
)

// attribute is one attribute of a resource type, compiled from the declared schema for fast look-up. An extension is an
// attribute whose name is its URN; the resource itself is an attribute without a name.
type attribute struct {
	name       string
	schema     string // URN of the schema that declares it; "" for common attributes
	typ        string // RFC 7643 section 2.3
	multi      bool
	required   bool
	caseExact  bool
	mutability string
	returned   string
	order      int // position among its siblings, in which the canonical form is written
	parent     *attribute
	subs       []*attribute
	byName     map[string]*attribute // canonical spelling
	byFold     map[string]*attribute // lower case

	spelled string // path(), once it was worked out

	full contractor.Attr // as a condition on the resource names it
	rel  contractor.Attr // as a condition inside brackets names it
}

const (
	typeBinary  = "binary"
	typeComplex = string(contractor.TypeComplex)
	typeBoolean = string(contractor.TypeBoolean)

	readOnly  = "readOnly"
	immutable = "immutable"
	writeOnly = "writeOnly"

	returnedAlways  = "always"
	returnedNever   = "never"
	returnedRequest = "request"
)

// sub finds a sub-attribute by its name in any case.
func (a *attribute) sub(name string) *attribute {
	if s, ok := a.byName[name]; ok {
		return s
	}
	return a.byFold[strings.ToLower(name)]
}

// extension reports whether the attribute is a schema extension.
func (a *attribute) extension() bool { return strings.HasPrefix(a.name, "urn:") }

// path is the attribute's SCIM path: name.givenName, urn:…:User:workerId.
func (a *attribute) path() string {
	switch {
	case a.spelled != "":
		return a.spelled
	case a.parent == nil || a.parent.name == "":
		return a.name
	case a.parent.extension():
		return a.parent.name + ":" + a.name
	}
	return a.parent.path() + "." + a.name
}

// steps is the way to the attribute from the resource, extension URN first.
func (a *attribute) steps() []string {
	if a.parent == nil {
		return nil
	}
	return append(a.parent.steps(), a.name)
}

// value is the sub-attribute that stands for the whole of a complex value ("emails" means "emails.value").
func (a *attribute) value() *attribute {
	if a.typ == typeComplex && !a.extension() {
		return a.byName["value"]
	}
	return nil
}

// resourceType is what the door serves at one endpoint.
type resourceType struct {
	name       string // User
	endpoint   string // /Users
	urn        string
	root       *attribute
	schemas    []schema.Schema // as shown at /Schemas; the core schema first, then the extensions
	extensions []string
}

// lookup finds an attribute by a path of names without filter: "name.givenName", "urn:…:User:workerId",
// "urn:…:core:2.0:User:userName", "urn:…:enterprise:2.0:User:manager.value", an extension's URN. A bare name that the core
// does not have is looked for in the extensions: Entra sends "manager".
func (t *resourceType) lookup(path string) *attribute {
	names := path
	at := t.root
	if isURN(path) {
		if a := t.root.sub(path); a != nil {
			return a
		}
		urn, rest, ok := cutURN(path)
		if !ok {
			return nil
		}
		names = rest
		switch ext := t.root.sub(urn); {
		case strings.EqualFold(urn, t.urn):
		case ext != nil:
			at = ext
		default:
			return nil
		}
	}
	first, second, dotted := strings.Cut(names, ".")
	a := at.sub(first)
	if a == nil && at == t.root && len(names) == len(path) {
		for _, urn := range t.extensions {
			if a = t.root.byName[urn].sub(first); a != nil {
				break
			}
		}
	}
	if a == nil || !dotted {
		return a
	}
	return a.sub(second)
}

// cutURN splits a qualified name behind the schema's URN: at the last colon, since names hold none, but not inside the
// version ("2.0:User").
func cutURN(path string) (urn, name string, ok bool) {
	i := strings.LastIndexByte(path, ':')
	if i < 0 || i == len(path)-1 {
		return "", "", false
	}
	return path[:i], path[i+1:], true
}

// compile makes the look-up form of a resource type from its schemas.
func compile(name, endpoint string, common []schema.CoreAttribute, schemas ...schema.Schema) *resourceType {
	t := &resourceType{name: name, endpoint: endpoint, urn: schemas[0].ID, schemas: schemas}
	t.root = &attribute{typ: typeComplex, mutability: "readWrite"}
	for _, a := range common {
		t.root.adopt(compileAttribute(a, ""))
	}
	for _, a := range schemas[0].Attributes {
		t.root.adopt(compileAttribute(a, schemas[0].ID))
	}
	for _, s := range schemas[1:] {
		ext := &attribute{name: s.ID, schema: s.ID, typ: typeComplex, mutability: "readWrite", returned: "default"}
		for _, a := range s.Attributes {
			ext.adopt(compileAttribute(a, s.ID))
		}
		t.root.adopt(ext)
		t.extensions = append(t.extensions, s.ID)
	}
	t.root.settle()
	return t
}

// settle works out the names for conditions, once all parents are known.
func (a *attribute) settle() {
	if a.parent != nil {
		typ := contractor.AttrType(a.typ)
		if a.typ == typeBinary {
			typ = contractor.TypeString
		}
		top := a
		for top.parent.name != "" {
			top = top.parent
		}
		a.spelled = a.path()
		a.full = contractor.Attr{Path: a.steps(), Type: typ, CaseExact: a.caseExact, Multi: top.multi}
		a.rel = contractor.Attr{Path: []string{a.name}, Type: typ, CaseExact: a.caseExact}
	}
	for _, s := range a.subs {
		s.settle()
	}
}

func compileAttribute(c schema.CoreAttribute, urn string) *attribute {
	a := &attribute{
		name: c.Name(), schema: urn, typ: c.AttributeType(), multi: c.MultiValued(), required: c.Required(),
		caseExact: c.CaseExact(), mutability: c.Mutability(), returned: c.Returned(),
	}
	for _, s := range c.SubAttributes() {
		a.adopt(compileAttribute(s, urn))
	}
	return a
}

func (a *attribute) adopt(s *attribute) {
	if a.byName == nil {
		a.byName, a.byFold = map[string]*attribute{}, map[string]*attribute{}
	}
	s.parent, s.order = a, len(a.subs)
	a.subs = append(a.subs, s)
	a.byName[s.name] = s
	a.byFold[strings.ToLower(s.name)] = s
}

// userType declares Users. The contractor extension comes last: the stored form ends with it (render.go).
func userType() *resourceType {
	core := schema.CoreUserSchema()
	kept := core.Attributes[:0:0]
	for _, a := range core.Attributes {
		if a.Name() != "password" { // nobody signs in here; what is sent is thrown away
			kept = append(kept, a)
		}
	}
	core.Attributes = kept
	return compile("User", "/Users", schema.CommonAttributes(), core, enterpriseSchema(), contractorSchema())
}

// groupType declares the read-only Groups.
func groupType() *resourceType {
	s := schema.CoreGroupSchema()
	s.Description = optional.NewString("What the customer's mapping can grant, with those of your own contractors who hold it. Read-only.")
	s.Attributes = schema.Attributes{
		schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{
			Name: "displayName", Required: true, Mutability: schema.AttributeMutabilityReadOnly(),
			Description: optional.NewString("Name of the entitlement in the customer's catalog."),
		})),
		schema.ComplexCoreAttribute(schema.ComplexParams{
			Name: "members", MultiValued: true, Mutability: schema.AttributeMutabilityReadOnly(),
			Description: optional.NewString("Those of your own contractors who hold it now."),
			SubAttributes: []schema.SimpleParams{
				schema.SimpleStringParams(schema.StringParams{Name: "value", CaseExact: true, Mutability: schema.AttributeMutabilityReadOnly(), Description: optional.NewString("The id of the User.")}),
				schema.SimpleReferenceParams(schema.ReferenceParams{Name: "$ref", Mutability: schema.AttributeMutabilityReadOnly(), ReferenceTypes: []schema.AttributeReferenceType{"User"}, Description: optional.NewString("The URI of the User.")}),
				schema.SimpleStringParams(schema.StringParams{Name: "type", CanonicalValues: []string{"User"}, Mutability: schema.AttributeMutabilityReadOnly(), Description: optional.NewString("Always User.")}),
				schema.SimpleStringParams(schema.StringParams{Name: "display", Mutability: schema.AttributeMutabilityReadOnly(), Description: optional.NewString("The User's name for display.")}),
			},
		}),
	}
	return compile("Group", "/Groups", schema.CommonAttributes(), s)
}
