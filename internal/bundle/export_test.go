package bundle

// For the tests.
var (
	WriteError    = writeError
	ParseManifest = parseManifest
	ParseSums     = parseSums
	FormatSums    = formatSums
)
