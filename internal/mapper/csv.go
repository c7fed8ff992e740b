package mapper

import (
	"slices"

	"scimbridge/internal/contractor"
)

// csvFields are the record's fields that a column of a file can fill, with the short words for the two dates. managerEmail is read from the manager, otherEmails from the
// addresses.
func csvFields() []string {
	names := []string{"start", "end"}
	for _, f := range recordFields() {
		if f.index >= 0 && !slices.Contains([]string{"otherEmails", "managerEmail"}, f.name) {
			names = append(names, f.name)
		}
	}
	return names
}

// csv checks how a vendor's files are read. Whether a file has the columns is seen when there is one.
func (b *builder) csv(vendor string, f *fileCSV) contractor.CSVLayout {
	if f == nil {
		return contractor.CSVLayout{}
	}
	known := csvFields()
	for _, name := range sortedKeys(f.Columns) {
		where := path("vendors", vendor, "csv", "columns", name)
		if !slices.Contains(known, name) {
			b.atKey(where, "contractor has no field %q that a column can fill%s", name, didYouMean(name, known))
		}
		if len(f.Columns[name]) == 0 {
			b.at(where, "the list of columns is empty")
		}
	}
	if f.Key != "" && !slices.Contains(known, f.Key) {
		b.at(path("vendors", vendor, "csv", "key"), "contractor has no field %q%s", f.Key, didYouMean(f.Key, known))
	}
	if d := []rune(f.Delimiter); len(d) > 1 && f.Delimiter != "tab" || len(d) == 1 && (d[0] == '"' || d[0] == '\n' || d[0] == '\r') {
		b.at(path("vendors", vendor, "csv", "delimiter"), "%q is not a delimiter; write one character, or tab", f.Delimiter)
	}
	b.enum(path("vendors", vendor, "csv", "encoding"), f.Encoding, "utf-8", "windows-1252", "utf-16")
	return contractor.CSVLayout{Columns: f.Columns, Key: f.Key, Delimiter: f.Delimiter, Encoding: f.Encoding, Active: f.Active}
}
