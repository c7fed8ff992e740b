package contractor

// AttrType is the SCIM data type of an attribute (RFC 7643 section 2.3).
type AttrType string

// The types a filter can compare.
const (
	TypeString    AttrType = "string"
	TypeBoolean   AttrType = "boolean"
	TypeDateTime  AttrType = "dateTime"
	TypeInteger   AttrType = "integer"
	TypeDecimal   AttrType = "decimal"
	TypeReference AttrType = "reference"
	TypeComplex   AttrType = "complex"
)

// Attr names an attribute of the stored resource, resolved against the schema: canonical spelling, extension URN as a path
// element of its own ("urn:…:User", "workerId").
type Attr struct {
	Path      []string
	Type      AttrType
	CaseExact bool
	Multi     bool // the first element is multi-valued: a condition on it means any of its values
}

// Op is a SCIM comparison operator, lower case (RFC 7644 table 3).
type Op string

// The comparison operators.
const (
	OpEq Op = "eq"
	OpNe Op = "ne"
	OpCo Op = "co"
	OpSw Op = "sw"
	OpEw Op = "ew"
	OpGt Op = "gt"
	OpGe Op = "ge"
	OpLt Op = "lt"
	OpLe Op = "le"
)

// Condition is a filter: And, Or, Not, Compare, Present or Any.
type Condition interface{ condition() }

// And holds when all hold; Or when one does; Not when its own does not.
type (
	And []Condition
	Or  []Condition
	Not struct{ Of Condition }
)

// Compare compares an attribute with a literal. Value is string, bool, float64, int64, time.Time or nil.
type Compare struct {
	Attr  Attr
	Op    Op
	Value any
}

// Present holds when the attribute has a non-empty value.
type Present struct{ Attr Attr }

// Any holds when one value of the multi-valued Attr fulfils Of, whose own paths are relative to that value
// (emails[type eq "work" and value co "@x"]).
type Any struct {
	Attr Attr
	Of   Condition
}

func (And) condition()     {}
func (Or) condition()      {}
func (Not) condition()     {}
func (Compare) condition() {}
func (Present) condition() {}
func (Any) condition()     {}

// Query asks for one vendor's engagements.
type Query struct {
	Vendor     string
	Where      Condition // nil: all
	SortBy     *Attr     // nil: by creation, stable
	Descending bool
	Start      int    // 0-based offset of the first result; ignored with Cursor
	Count      int    // at most this many; 0: only the total
	Cursor     string // opaque, from Page.Next (RFC 9865)
	UseCursor  bool   // the caller pages by cursor: fill Page.Next
	NoTotal    bool   // the total is not needed
}

// Page is the answer to a Query.
type Page struct {
	Total int
	Items []Engagement // Record may be left zero: the SCIM door renders from Resource, Version, times and Standing
	Next  string       // cursor of the next page, "" at the end
}
