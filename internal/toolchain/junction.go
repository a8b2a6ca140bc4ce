package toolchain

import (
	"encoding/binary"
	"unicode/utf16"
)

// reparseMountPoint is IO_REPARSE_TAG_MOUNT_POINT. Source: [MS-FSCC] 2.1.2.1.
const reparseMountPoint = 0xA0000003

// junctionData is the REPARSE_DATA_BUFFER of a junction. Source: [MS-FSCC] 2.1.2.5.
func junctionData(target string) []byte {
	substitute := utf16.Encode([]rune(`\??\` + target))
	shown := utf16.Encode([]rune(target))
	var path []byte
	for _, part := range [][]uint16{substitute, shown} {
		for _, c := range part {
			path = binary.LittleEndian.AppendUint16(path, c)
		}
		path = append(path, 0, 0)
	}
	var b []byte
	b = binary.LittleEndian.AppendUint32(b, reparseMountPoint)
	b = binary.LittleEndian.AppendUint16(b, uint16(8+len(path))) // of the rest, without these eight
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = binary.LittleEndian.AppendUint16(b, 0) // the substitute name begins here
	b = binary.LittleEndian.AppendUint16(b, uint16(2*len(substitute)))
	b = binary.LittleEndian.AppendUint16(b, uint16(2*len(substitute)+2))
	b = binary.LittleEndian.AppendUint16(b, uint16(2*len(shown)))
	return append(b, path...)
}
