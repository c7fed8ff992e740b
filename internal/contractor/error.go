package contractor

import "fmt"

// ExtensionURN is the SCIM extension that carries a contract (product.md, "The contractor extension").
const ExtensionURN = "urn:ietf:params:scim:schemas:extension:contractor:2.0:User"

// Code is the kind of an Error, for machines.
type Code string

// The codes; the SCIM door maps each to a status and scimType in one function.
const (
	CodeInvalid      Code = "invalid"      // a value is wrong: 400 invalidValue unless SCIMType says otherwise
	CodeNotFound     Code = "not_found"    // 404
	CodeConflict     Code = "conflict"     // 409 uniqueness
	CodeForbidden    Code = "forbidden"    // 403
	CodeUnauthorized Code = "unauthorized" // 401
	CodeVersion      Code = "version"      // 412
	CodeQuota        Code = "quota"        // 403, the vendor's quota of live engagements
	CodeTooMany      Code = "too_many"     // 429
	CodeTooLarge     Code = "too_large"    // 413
	CodeUnavailable  Code = "unavailable"  // 503, try again
	CodeInternal     Code = "internal"     // 500
)

// Error is what every boundary answers: a code for machines, a sentence for people that says what to do, the cause for the
// operator alone.
type Error struct {
	Code     Code
	SCIMType string // RFC 7644 table 9, where it is not the code's own
	Path     string // SCIM attribute path of the value at fault, "" if none
	Message  string
	Cause    error
}

func (e *Error) Error() string {
	s := e.Message
	if e.Path != "" {
		s = e.Path + ": " + s
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Cause }

// Invalid is a wrong value at a SCIM path.
func Invalid(path, message string) *Error {
	return &Error{Code: CodeInvalid, Path: path, Message: message}
}

// Errorf makes an Error with a formatted sentence.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
