package scim

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/labstack/echo/v4"

	"scimbridge/internal/contractor"
)

// The keywords of RFC 7644 table 9, and of RFC 9865 section 2.1 for cursors.
const (
	scimInvalidFilter = string(scimerrors.ScimTypeInvalidFilter)
	scimTooMany       = string(scimerrors.ScimTypeTooMany)
	scimUniqueness    = string(scimerrors.ScimTypeUniqueness)
	scimMutability    = string(scimerrors.ScimTypeMutability)
	scimInvalidSyntax = string(scimerrors.ScimTypeInvalidSyntax)
	scimInvalidPath   = string(scimerrors.ScimTypeInvalidPath)
	scimNoTarget      = string(scimerrors.ScimTypeNoTarget)
	scimInvalidValue  = string(scimerrors.ScimTypeInvalidValue)
	scimInvalidCursor = "invalidCursor"
)

// toSCIM is the one place where an error becomes what a vendor sees. Causes stay here.
func toSCIM(err error) scimerrors.ScimError {
	e, ok := errors.AsType[*contractor.Error](err)
	if !ok {
		if he, ok := errors.AsType[*echo.HTTPError](err); ok {
			return httpError(he)
		}
		switch {
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
			return scimerrors.ScimError{Status: http.StatusServiceUnavailable, Detail: "the request took too long and was given up; send it again"}
		}
		return scimerrors.ScimError{Status: http.StatusInternalServerError, Detail: "something went wrong here; the operator can find it in the log by the request id"}
	}
	out := scimerrors.ScimError{Detail: e.Message, ScimType: scimerrors.ScimType(e.SCIMType)}
	if e.Path != "" {
		out.Detail = e.Path + ": " + e.Message
	}
	switch e.Code {
	case contractor.CodeInvalid:
		out.Status = http.StatusBadRequest
		if out.ScimType == "" {
			out.ScimType = scimerrors.ScimTypeInvalidValue
		}
	case contractor.CodeNotFound:
		out.Status = http.StatusNotFound
	case contractor.CodeConflict:
		out.Status = http.StatusConflict
		if out.ScimType == "" {
			out.ScimType = scimerrors.ScimTypeUniqueness
		}
	case contractor.CodeForbidden, contractor.CodeQuota:
		out.Status = http.StatusForbidden
	case contractor.CodeUnauthorized:
		out.Status = http.StatusUnauthorized
	case contractor.CodeVersion:
		out.Status = http.StatusPreconditionFailed
	case contractor.CodeTooMany:
		out.Status = http.StatusTooManyRequests
	case contractor.CodeTooLarge:
		out.Status = http.StatusRequestEntityTooLarge
	case contractor.CodeUnavailable:
		out.Status = http.StatusServiceUnavailable
	default:
		out.Status = http.StatusInternalServerError
		out.Detail = "something went wrong here; the operator can find it in the log by the request id"
	}
	return out
}

// httpError gives the router's own refusals a sentence.
func httpError(he *echo.HTTPError) scimerrors.ScimError {
	out := scimerrors.ScimError{Status: he.Code, Detail: http.StatusText(he.Code)}
	switch he.Code {
	case http.StatusNotFound:
		out.Detail = "there is no such endpoint; the resource types are at /ResourceTypes"
	case http.StatusMethodNotAllowed:
		out.Detail = "this endpoint does not take that method; the Allow header names those it takes"
	default:
		if s, ok := he.Message.(string); ok {
			out.Detail = s
		}
	}
	return out
}

// errorBody is the error as RFC 7644 section 3.12 writes it.
func errorBody(e scimerrors.ScimError) []byte {
	b, err := json.Marshal(e)
	if err != nil {
		return []byte(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"` + strconv.Itoa(e.Status) + `"}`)
	}
	return b
}
