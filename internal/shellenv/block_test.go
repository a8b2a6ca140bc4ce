package shellenv

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const sample = "export PATH=/x:$PATH\n"

func TestPutAndTake(t *testing.T) {
	tests := []struct {
		name, before string
		exists       bool
	}{
		{"no file", "", false},
		{"empty file", "", true},
		{"one line", "alias a=b\n", true},
		{"no line end", "alias a=b", true},
		{"Windows line ends", "a\r\nb\r\n", true},
		{"Windows, no line end", "a\r\nb", true},
		{"blank lines at the end", "a\n\n\n", true},
		{"bytes of another encoding", "# caf\xe9\n", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			once, _, err := put(tt.before, sample, tt.exists)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(once, tt.before) || !strings.Contains(strings.ReplaceAll(once, "\r\n", "\n"), "\n"+sample) {
				t.Errorf("got %q", once)
			}
			if strings.Contains(tt.before, "\r\n") && strings.Count(once, "\n") != strings.Count(once, "\r\n") {
				t.Errorf("mixed line ends: %q", once)
			}
			twice, _, err := put(once, sample, true)
			if err != nil || twice != once {
				t.Errorf("put again: %q, %v", twice, err)
			}
			other, _, err := put(once, "other\n", true)
			if err != nil || strings.Contains(other, sample) || !strings.Contains(other, "other") {
				t.Errorf("put anew: %q, %v", other, err)
			}
			rest, remains, _, err := take(other)
			if err != nil || rest != tt.before || remains != tt.exists {
				t.Errorf("take: %q, remains %v, %v", rest, remains, err)
			}
		})
	}
}

func TestTakeKeepsWhatCameLater(t *testing.T) {
	text, _, err := put("a", sample, true)
	if err != nil {
		t.Fatal(err)
	}
	rest, remains, _, err := take(text + "b\n")
	if err != nil || rest != "a\nb\n" || !remains {
		t.Errorf("got %q, remains %v, %v", rest, remains, err)
	}
	text, _, err = put("", sample, false)
	if err != nil {
		t.Fatal(err)
	}
	if rest, remains, _, err = take(text + "b\n"); err != nil || rest != "b\n" || !remains {
		t.Errorf("a file of ours with a line of others: %q, remains %v, %v", rest, remains, err)
	}
}

func TestBroken(t *testing.T) {
	open, end := markOpen+markEnd+"\n", markClose+"\n"
	tests := []struct {
		text string
		line int
	}{
		{open + "x\n", 1},
		{"x\n" + end, 2},
		{open + end + end, 3},
		{open + open + end, 2},
		{open + end + "x\n" + open + end, 4},
	}
	for _, tt := range tests {
		got, line, err := put(tt.text, sample, true)
		if !errors.Is(err, ErrBroken) || line != tt.line || got != tt.text {
			t.Errorf("put %q: %q, line %d, %v", tt.text, got, line, err)
		}
		got, _, line, err = take(tt.text)
		if !errors.Is(err, ErrBroken) || line != tt.line || got != tt.text {
			t.Errorf("take %q: %q, line %d, %v", tt.text, got, line, err)
		}
	}
}

func TestEncodings(t *testing.T) {
	const text = "Write-Host 你好 😀\r\n"
	for name, data := range map[string][]byte{
		"UTF-8":              []byte(text),
		"UTF-8 with mark":    []byte("\xef\xbb\xbf" + text),
		"UTF-16LE":           encoding{"\xff\xfe", nil}.encode(""),
		"UTF-16LE with text": append([]byte("\xff\xfe"), utf16le(text)...),
	} {
		got, e, err := decode(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got != text && got != "" {
			t.Errorf("%s: %q", name, got)
		}
		if again := e.encode(got); !bytes.Equal(again, data) {
			t.Errorf("%s: %q becomes %q", name, data, again)
		}
	}
	for _, data := range []string{"a\x00b", "\xff\xfea", "\xff\xfe\x00\xd8"} {
		if _, _, err := decode([]byte(data)); !errors.Is(err, ErrBinary) {
			t.Errorf("%q: %v", data, err)
		}
	}
}

func utf16le(s string) []byte {
	var b []byte
	for _, r := range s {
		if r > 0xffff {
			r -= 0x10000
			b = append(b, byte(0xd800+r>>10), byte((0xd800+r>>10)>>8), byte(0xdc00+r&0x3ff), byte((0xdc00+r&0x3ff)>>8))
		} else {
			b = append(b, byte(r), byte(r>>8))
		}
	}
	return b
}

// FuzzBlock holds what users are promised: a second time changes nothing, and taking the block
// away leaves the file as it was.
func FuzzBlock(f *testing.F) {
	for _, s := range []string{"", "a", "a\n", "a\r\nb", "\n\n", markOpen + markEnd + "\nx\n" + markClose + "\n", markClose, "  " + markOpen + markEnd, "\xff\n", "\r", "a\nb\r"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, before string, exists bool) {
		if before != "" {
			exists = true
		}
		if b, _, err := findBlock(before); err != nil || b != nil {
			if got, _, err := put(before, sample, exists); err != nil && got != before {
				t.Fatalf("refused, and changed: %q", got)
			}
			return
		}
		once, _, err := put(before, sample, exists)
		if err != nil {
			t.Fatal(err)
		}
		if twice, _, err := put(once, sample, true); err != nil || twice != once {
			t.Fatalf("the second time: %q, %v", twice, err)
		}
		if rest, remains, _, err := take(once); err != nil || rest != before || remains != exists {
			t.Fatalf("taken away: %q, remains %v, %v; was %q", rest, remains, err, before)
		}
	})
}

// FuzzDecode wants every file back byte by byte.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "a\n", "\xef\xbb\xbfa", "\xff\xfea\x00", "\xfe\xff\x00a", "\xff\xfe\x00\xd8", "\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text, e, err := decode(data)
		if err != nil {
			return
		}
		if again := e.encode(text); !bytes.Equal(again, data) {
			t.Fatalf("%q becomes %q", data, again)
		}
	})
}
