package emulator

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

// bodyLimit bounds what is read of a request, before and after decompression. Graph
// takes 4 MB.
const bodyLimit = 4 << 20

// readBody reads a request body, decompressed. A Content-Encoding that does not
// describe the bytes is refused, as the service does.
func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, bodyLimit+1))
	if err != nil {
		return nil, badRequest("The request body could not be read.")
	}
	switch enc := r.Header.Get("Content-Encoding"); enc {
	case "", "identity":
	case "gzip":
		if len(raw) == 0 {
			break
		}
		zr, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, badRequest("The request body is not the gzip stream that Content-Encoding announces.")
		}
		if raw, err = io.ReadAll(io.LimitReader(zr, bodyLimit+1)); err != nil {
			return nil, badRequest("The request body is a broken gzip stream.")
		}
	default:
		return nil, refuse(http.StatusUnsupportedMediaType, "UnsupportedMediaType", "Content-Encoding '%s' is not supported.", enc)
	}
	if len(raw) > bodyLimit {
		return nil, refuse(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request body is longer than 4 MB.")
	}
	return raw, nil
}

// parseBody reads a JSON object. contentType must say JSON.
func parseBody(raw []byte, contentType string) (map[string]any, error) {
	if mt, _, err := mime.ParseMediaType(contentType); err != nil || mt != "application/json" {
		return nil, refuse(http.StatusUnsupportedMediaType, "RequestBodyRead", "The Content-Type must be application/json.")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	var obj map[string]any
	if err := dec.Decode(&obj); err != nil || obj == nil {
		return nil, refuse(http.StatusBadRequest, "BadRequest", "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, refuse(http.StatusBadRequest, "BadRequest", "There is more than one JSON value in the request payload.")
	}
	return obj, nil
}

// text, flag and object read members of a body that the schema has checked.
func text(obj map[string]any, name string) string {
	s, _ := obj[name].(string)
	return s
}

func flag(obj map[string]any, name string) bool {
	b, _ := obj[name].(bool)
	return b
}

func object(obj map[string]any, name string) map[string]any {
	o, _ := obj[name].(map[string]any)
	return o
}

func texts(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, e := range list {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func anys[T any](list []T) []any {
	out := make([]any, len(list))
	for i, e := range list {
		out[i] = e
	}
	return out
}
