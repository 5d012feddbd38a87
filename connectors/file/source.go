package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/fieldsync/fieldsync/connectors"
)

// maxRecord bounds what one record may take, so that a file without line ends does not become one record.
const maxRecord = 16 << 20

// A piece is one record as it stands in the file. It is valid until the next one is asked for.
type piece struct {
	lead   []byte // white space before it, in JSON; empty lines, elsewhere
	raw    []byte
	fields []span // CSV
	line   int    // where raw starts, from 1
}

// A span is a CSV field inside raw, without its quotes.
type span struct {
	from, to int
	quoted   bool // there were quotes around it
	doubled  bool // and doubled ones inside
}

// A source cuts a file into pieces. Put together, head, pieces and tail are the file.
type source interface {
	next() (piece, error) // io.EOF after the last one
	head() []byte         // up to the first record: byte order mark, header line, bracket
	tail() []byte         // after the last record; valid after io.EOF
}

var bom = []byte("\xef\xbb\xbf")

// invalid is an error in the file's content.
func invalid(line int, format string, args ...any) error {
	return &connectors.Error{Kind: connectors.ErrProtocol, Detail: fmt.Sprintf("line %d: ", line) + fmt.Sprintf(format, args...), Hint: "mend the file; nothing is taken from it before"}
}

// A feed is the window on the file that a source looks through.
type feed struct {
	r    io.Reader
	buf  []byte
	at   int // buf[at:] is not used up yet
	end  bool
	line int
}

func newFeed(r io.Reader) feed { return feed{r: r, buf: make([]byte, 0, 1<<20), line: 1} }

func (f *feed) rest() []byte { return f.buf[f.at:] }

// use moves on by n bytes.
func (f *feed) use(n int) []byte {
	b := f.buf[f.at : f.at+n]
	f.at += n
	f.line += bytes.Count(b, []byte{'\n'})
	return b
}

// more makes rest longer, or sets end. Everything handed out before is overwritten.
func (f *feed) more() error {
	if len(f.rest()) >= maxRecord {
		return invalid(f.line, "a record is longer than 16 MiB")
	}
	if f.at > 0 {
		n := copy(f.buf, f.buf[f.at:])
		f.buf, f.at = f.buf[:n], 0
	}
	if len(f.buf) == cap(f.buf) {
		f.buf = append(make([]byte, 0, 2*cap(f.buf)), f.buf...)
	}
	n, err := f.r.Read(f.buf[len(f.buf):cap(f.buf)])
	f.buf = f.buf[:len(f.buf)+n]
	if errors.Is(err, io.EOF) {
		f.end = true
		return nil
	}
	return err
}

// mark takes a byte order mark off the start.
func (f *feed) mark() ([]byte, error) {
	for len(f.rest()) < len(bom) && !f.end {
		if err := f.more(); err != nil {
			return nil, err
		}
	}
	if bytes.HasPrefix(f.rest(), bom) {
		return f.use(len(bom)), nil
	}
	return nil, nil
}

// lines is the source of NDJSON.
type lines struct {
	feed
	first []byte
	last  []byte
	blank []byte
}

func newLines(r io.Reader) (*lines, error) {
	s := &lines{feed: newFeed(r)}
	mark, err := s.mark()
	s.first = bytes.Clone(mark)
	return s, err
}

func (s *lines) head() []byte { return s.first }
func (s *lines) tail() []byte { return s.last }

func (s *lines) next() (piece, error) {
	s.blank = s.blank[:0]
	for {
		searched, n := 0, -1
		for {
			if i := bytes.IndexByte(s.rest()[searched:], '\n'); i >= 0 {
				n = searched + i + 1
				break
			}
			if searched = len(s.rest()); s.end {
				n = searched
				break
			}
			if err := s.more(); err != nil {
				return piece{}, err
			}
		}
		if n == 0 {
			s.last = s.blank
			return piece{}, io.EOF
		}
		line := s.line
		raw := s.use(n)
		if len(bytes.TrimSpace(raw)) == 0 {
			s.blank = append(s.blank, raw...)
			continue
		}
		return piece{lead: s.blank, raw: bytes.TrimSuffix(raw, []byte{'\n'}), line: line}, nil
	}
}

// array is the source of JSON: a file that is one array of objects.
type array struct {
	feed
	first []byte
	last  []byte
	begun bool
}

func newArray(r io.Reader) (*array, error) {
	s := &array{feed: newFeed(r)}
	mark, err := s.mark()
	if err != nil {
		return nil, err
	}
	s.first = bytes.Clone(mark)
	n, err := s.space(0)
	if err != nil {
		return nil, err
	}
	if n == len(s.rest()) || s.rest()[n] != '[' {
		return nil, invalid(s.line, "the file is not a JSON array; for one object a line, the format is ndjson")
	}
	s.first = append(s.first, s.use(n+1)...)
	return s, nil
}

func (s *array) head() []byte { return s.first }
func (s *array) tail() []byte { return s.last }

// space returns the offset of the first byte from i on that is not white space, or the length of rest at the
// end of the file.
func (s *array) space(i int) (int, error) {
	for {
		for ; i < len(s.rest()); i++ {
			switch s.rest()[i] {
			case ' ', '\t', '\r', '\n':
			default:
				return i, nil
			}
		}
		if s.end {
			return i, nil
		}
		if err := s.more(); err != nil {
			return 0, err
		}
	}
}

func (s *array) next() (piece, error) {
	n, err := s.space(0)
	if err != nil {
		return piece{}, err
	}
	if n < len(s.rest()) && s.rest()[n] == ',' && s.begun {
		s.use(n + 1)
		if n, err = s.space(0); err != nil {
			return piece{}, err
		}
		if n < len(s.rest()) && s.rest()[n] == ']' {
			return piece{}, invalid(s.line, "a comma stands before the closing bracket")
		}
	} else if n < len(s.rest()) && s.rest()[n] != ']' && s.begun {
		return piece{}, invalid(s.line, "a comma is missing between two records")
	}
	if n == len(s.rest()) {
		return piece{}, invalid(s.line, "the file ends inside the array")
	}
	line := s.line + bytes.Count(s.rest()[:n], []byte{'\n'})
	switch s.rest()[n] {
	case ']':
		return piece{}, s.finish(n, line)
	case '{':
	default:
		return piece{}, invalid(line, "an element of the array is not an object")
	}
	for {
		if to, ok := skipValue(s.rest(), n); ok {
			s.begun = true
			b := s.use(to)
			return piece{lead: b[:n], raw: b[n:], line: line}, nil
		}
		if s.end {
			return piece{}, invalid(line, "the file ends inside a record")
		}
		if err := s.more(); err != nil {
			return piece{}, err
		}
	}
}

func (s *array) finish(n, line int) error {
	to, err := s.space(n + 1)
	if err != nil {
		return err
	}
	if to != len(s.rest()) {
		return invalid(line, "something follows the array")
	}
	s.last = s.use(to)
	return io.EOF
}

// skipValue returns the end of the JSON value that starts at b[i]; false if b ends before it does.
func skipValue(b []byte, i int) (int, bool) {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			to, ok := skipString(b, i)
			if !ok {
				return 0, false
			}
			if i = to; depth == 0 {
				return i, true
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1, true
			}
			if depth < 0 {
				return i, true // the end of what the value stands in
			}
		case ',', ' ', '\t', '\r', '\n', ':':
			if depth == 0 {
				return i, true
			}
		}
		i++
	}
	return i, false
}

// skipString returns the end of the JSON string whose opening quote is b[i].
func skipString(b []byte, i int) (int, bool) {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1, true
		}
	}
	return 0, false
}
