package shellenv

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"
)

// The marks around what this room writes. The first one also says what taking the block away must
// undo beside.
const (
	markOpen  = "# >>> goferry env"
	markEnd   = " >>>"
	markClose = "# <<< goferry env <<<"

	madeFile = " (new file)"             // there was none before
	noEnd    = " (no line end above it)" // the last line of the file had none

	about = "# goferry env --write wrote this, goferry env --remove takes it away."
)

// A block is where the lines of goferry stand in a text.
type block struct {
	start, end int    // of all of it, marks and the end of the last line included
	note       string // what the first mark says beside
}

// findBlock returns the block in text; nil if there is none. Where the marks do not
// belong together, it returns the line of the first that does not, from 1, and ErrBroken.
func findBlock(text string) (b *block, line int, err error) {
	at, n, open := 0, 0, 0
	for l := range strings.Lines(text) {
		n++
		next := at + len(l)
		mark := strings.TrimRight(l, " \t\r\n")
		switch {
		case strings.HasPrefix(mark, markOpen) && strings.HasSuffix(mark, markEnd):
			if b != nil {
				return nil, n, ErrBroken
			}
			b, open = &block{start: at, note: strings.TrimSuffix(strings.TrimPrefix(mark, markOpen), markEnd)}, n
		case mark == markClose:
			if b == nil || b.end > 0 {
				return nil, n, ErrBroken
			}
			b.end = next
		}
		at = next
	}
	if b != nil && b.end == 0 {
		return nil, open, ErrBroken
	}
	return b, 0, nil
}

// put returns text with lines in its block. exists is whether there is a file.
func put(text, lines string, exists bool) (string, int, error) {
	b, line, err := findBlock(text)
	if err != nil {
		return text, line, err
	}
	newline := "\n"
	if strings.Contains(text, "\r\n") || strings.HasSuffix(text, "\r") { // the latter, or take would not know the line end from it
		newline = "\r\n"
	}
	if b == nil {
		b = &block{start: len(text), end: len(text)}
		if !exists {
			b.note = madeFile
		} else if text != "" && !strings.HasSuffix(text, "\n") {
			b.note = noEnd
			text += newline
			b.start, b.end = len(text), len(text)
		}
	}
	body := markOpen + b.note + markEnd + "\n" + about + "\n" + lines + markClose + "\n"
	return text[:b.start] + strings.ReplaceAll(body, "\n", newline) + text[b.end:], 0, nil
}

// take returns text without its block, and whether a file should be left.
func take(text string) (rest string, remains bool, line int, err error) {
	b, line, err := findBlock(text)
	if err != nil || b == nil {
		return text, true, line, err
	}
	above, below := text[:b.start], text[b.end:]
	if b.note == noEnd && below == "" {
		above = strings.TrimSuffix(strings.TrimSuffix(above, "\n"), "\r")
	}
	rest = above + below
	return rest, b.note != madeFile || strings.TrimSpace(rest) != "", 0, nil
}

// An encoding is how a file keeps its text.
type encoding struct {
	mark  string           // what stands before the text
	order binary.ByteOrder // nil for bytes as they are, be they UTF-8 or older
}

// decode reads a start-up file. Those of PowerShell may be UTF-16: ">" wrote that for years.
func decode(data []byte) (string, encoding, error) {
	for _, e := range []encoding{{"\xff\xfe", binary.LittleEndian}, {"\xfe\xff", binary.BigEndian}, {"\xef\xbb\xbf", nil}, {"", nil}} {
		rest, ok := bytes.CutPrefix(data, []byte(e.mark))
		if !ok {
			continue
		}
		if e.order == nil {
			if bytes.IndexByte(rest, 0) >= 0 {
				return "", e, ErrBinary
			}
			return string(rest), e, nil
		}
		if len(rest)%2 != 0 {
			return "", e, ErrBinary
		}
		units := make([]uint16, len(rest)/2)
		for i := range units {
			units[i] = e.order.Uint16(rest[2*i:])
		}
		text := string(utf16.Decode(units))
		if !bytes.Equal(e.encode(text), data) {
			return "", e, ErrBinary // half a pair: it could not be written back as it was
		}
		return text, e, nil
	}
	panic("unreachable: the last encoding has no mark")
}

// encode is the reverse of decode.
func (e encoding) encode(text string) []byte {
	data := []byte(e.mark)
	if e.order == nil {
		return append(data, text...)
	}
	for _, u := range utf16.Encode([]rune(text)) {
		var unit [2]byte
		e.order.PutUint16(unit[:], u)
		data = append(data, unit[:]...)
	}
	return data
}
