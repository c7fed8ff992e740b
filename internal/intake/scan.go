package intake

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// The encodings that a file may have. UTF-8 may begin with a byte order mark; UTF-16 has to, and is then seen without being told.
const (
	EncodingUTF8        = "utf-8"
	EncodingWindows1252 = "windows-1252"
	EncodingUTF16       = "utf-16"
)

// Encodings are the names that may be given.
func Encodings() []string { return []string{EncodingUTF8, EncodingWindows1252, EncodingUTF16} }

// sheet is a file that was looked through once, before anything of it is used.
type sheet struct {
	name   string // as the user gave it
	size   int64  // bytes
	hash   string // hex SHA-256 of its bytes
	coding encoding.Encoding
}

// look reads a file through: what it hashes to, and whether it is in the encoding that was said. A file that is not is refused
// whole: half of its names would be wrong.
func look(name, coding string) (*sheet, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("the file cannot be read: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a plain file; save it to one, which can be read again where an import was interrupted", name)
	}
	s := &sheet{name: name, size: info.Size()}
	r := bufio.NewReaderSize(f, 1<<20)
	mark, err := r.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	wide := len(mark) == 2 && (mark[0] == 0xff && mark[1] == 0xfe || mark[0] == 0xfe && mark[1] == 0xff)
	switch {
	case wide && (coding == "" || coding == EncodingUTF16):
		s.coding = unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM)
	case coding == EncodingUTF16:
		return nil, fmt.Errorf("%s does not begin with the byte order mark of UTF-16; leave the encoding out, or save the file as UTF-8", name)
	case coding == EncodingWindows1252 && len(mark) == 2 && mark[0] == 0xef && mark[1] == 0xbb:
		return nil, fmt.Errorf("%s begins with the byte order mark of UTF-8; leave the encoding out", name)
	case coding == EncodingWindows1252:
		s.coding = charmap.Windows1252
	case coding == "" || coding == EncodingUTF8:
	default:
		return nil, fmt.Errorf("the encoding %q is not known; use utf-8, windows-1252 or utf-16", coding)
	}
	h := sha256.New()
	if err := validText(name, io.TeeReader(r, h), s.coding == nil); err != nil {
		return nil, err
	}
	s.hash = hex.EncodeToString(h.Sum(nil))
	return s, nil
}

// validText reads to the end, and finds the first byte that UTF-8 cannot have.
func validText(name string, r io.Reader, narrow bool) error {
	var whole [1 << 16]byte
	buf := whole[:0]
	line, column := 1, 1 // of the next byte
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return err
		}
		if !narrow {
			buf = buf[:0]
		}
		for len(buf) > 0 && (end || utf8.FullRune(buf)) {
			c, size := utf8.DecodeRune(buf)
			switch {
			case c == utf8.RuneError && size == 1:
				return notUTF8(name, line, column, buf[0])
			case c == 0:
				return fmt.Errorf("%s:%d:%d: a NUL byte: this is no text; export the list as CSV", name, line, column)
			case c == '\n':
				line, column = line+1, 1
			default:
				column += size
			}
			buf = buf[size:]
		}
		buf = whole[:copy(whole[:], buf)]
		if end {
			return nil
		}
	}
}

func notUTF8(name string, line, column int, b byte) error {
	at := fmt.Sprintf("%s:%d:%d: the byte 0x%02x is not UTF-8", name, line, column, b)
	meant, _, err := transform.Bytes(charmap.Windows1252.NewDecoder(), []byte{b})
	if err == nil && len(meant) > 0 && b >= 0x80 && !bytes.ContainsRune(meant, utf8.RuneError) {
		return fmt.Errorf("%s; in Windows-1252, as Excel saves it, it is %q: give --encoding windows-1252, or save the file as \"CSV UTF-8\"", at, meant)
	}
	return fmt.Errorf("%s; save the file as \"CSV UTF-8\"", at)
}

// open begins to read the file as text. meter counts the bytes of the file that were read.
func (s *sheet) open() (text io.Reader, meter *meter, closeFile func() error, err error) {
	f, err := os.Open(s.name)
	if err != nil {
		return nil, nil, nil, err
	}
	meter = newMeter(f)
	text = bufio.NewReaderSize(meter, 1<<18)
	if s.coding != nil {
		text = transform.NewReader(text, s.coding.NewDecoder())
	} else {
		text = transform.NewReader(text, unicode.UTF8BOM.NewDecoder())
	}
	return text, meter, f.Close, nil
}
