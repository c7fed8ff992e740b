package intake

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds of a file.
const (
	maxRecord  = 1 << 20   // bytes of one record
	maxColumns = 1000      //
	maxRows    = 5_000_000 // records of one file
)

var errRecordTooLong = errors.New("the record is longer than 1 MiB; a quote that opens a value is probably never closed")

// row is one record of a table.
type row struct {
	line   int
	values []string
	column func(i int) int // where the i-th value stands in its line; until the next call of next
}

// table reads CSV, one record at a time. It is bounded: a record that grows without end is refused.
type table struct {
	csv    *csv.Reader
	budget *allowance
	header []string
	rows   int
}

// newTable reads the header. delimiter 0: found in the header.
func newTable(text io.Reader, delimiter rune) (*table, error) {
	budget := &allowance{r: text, left: maxRecord}
	if delimiter == 0 {
		first, err := headLine(budget)
		if err != nil {
			return nil, err
		}
		delimiter = delimiterOf(first)
		budget = &allowance{r: io.MultiReader(strings.NewReader(first), budget.r), left: maxRecord}
	}
	t := &table{csv: csv.NewReader(budget), budget: budget}
	t.csv.Comma, t.csv.FieldsPerRecord, t.csv.ReuseRecord = delimiter, -1, true
	header, err := t.csv.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the file is empty; its first line must name the columns")
	case err != nil:
		return nil, err
	case len(header) > maxColumns:
		return nil, fmt.Errorf("the header has %d columns; %d are the most", len(header), maxColumns)
	}
	for _, name := range header {
		t.header = append(t.header, strings.TrimSpace(strings.Clone(name)))
	}
	return t, nil
}

// headLine reads up to and with the first line break that is not the file's first byte.
func headLine(r io.Reader) (string, error) {
	var b strings.Builder
	for one := make([]byte, 1); ; {
		n, err := r.Read(one)
		b.Write(one[:n])
		end := errors.Is(err, io.EOF)
		switch {
		case err != nil && !end:
			return "", err
		case end, n == 1 && one[0] == '\n' && strings.TrimSpace(b.String()) != "":
			return b.String(), nil
		}
	}
}

// delimiterOf is the one of the usual delimiters that a header has most of outside quotes.
func delimiterOf(header string) rune {
	counts := map[rune]int{}
	quoted := false
	for _, c := range header {
		if c == '"' {
			quoted = !quoted
		}
		if !quoted {
			counts[c]++
		}
	}
	best := ','
	for _, d := range []rune{';', '\t', '|'} {
		if counts[d] > counts[best] {
			best = d
		}
	}
	return best
}

// lineError is what is wrong with one record; the next can be read.
type lineError struct {
	line, column int // 1-based, in bytes; column 0: the whole line
	message      string
}

func (e *lineError) Error() string { return e.message }

// next reads a record: io.EOF at the end, a *lineError where the record is malformed and the next one can be read.
func (t *table) next() (row, error) {
	t.budget.left = maxRecord
	values, err := t.csv.Read()
	if t.budget.gone {
		return row{}, errRecordTooLong
	}
	var pe *csv.ParseError
	switch {
	case errors.As(err, &pe):
		return row{}, &lineError{pe.StartLine, pe.Column, "the CSV is malformed: " + quoteHelp(pe.Err)}
	case err != nil:
		return row{}, err
	}
	if t.rows++; t.rows > maxRows {
		return row{}, fmt.Errorf("the file has more than %d records; split it", maxRows)
	}
	line, _ := t.csv.FieldPos(0)
	if len(values) != len(t.header) {
		short := "has too few values"
		if len(values) > len(t.header) {
			short = "has too many values"
		}
		return row{}, &lineError{line, 0, fmt.Sprintf("the line %s: %d for %d columns", short, len(values), len(t.header))}
	}
	return row{line, values, func(i int) int { _, c := t.csv.FieldPos(i); return c }}, nil
}

func quoteHelp(err error) string {
	switch {
	case errors.Is(err, csv.ErrBareQuote):
		return `a value that is not in quotes has a quote in it; write "a ""quoted"" value"`
	case errors.Is(err, csv.ErrQuote):
		return `a quote inside a value must be doubled, and nothing may stand between a closing quote and the delimiter`
	}
	return err.Error()
}
