package toolchain

import (
	"encoding/hex"
	"testing"
)

// TestJunctionData compares with the buffer that mklink /j makes for C:\go.
func TestJunctionData(t *testing.T) {
	const want = "030000a0" + // the tag
		"2800" + "0000" + // bytes behind these, reserved
		"0000" + "1200" + "1400" + "0a00" + // where the two names begin, and their lengths
		"5c003f003f005c0043003a005c0067006f00" + "0000" + // \??\C:\go
		"43003a005c0067006f00" + "0000" // C:\go
	if got := hex.EncodeToString(junctionData(`C:\go`)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
