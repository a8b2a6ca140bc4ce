// Package cgo finds and installs C compilers, says what a project needs of cgo, and drives builds for many targets.
//
// It prints nothing and installs nothing unasked. What came out of a build is judged by room binary.
package cgo
