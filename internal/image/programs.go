package image

// healthSource is the program of HEALTHCHECK. It needs nothing but the standard library.
const healthSource = `package main

import (
	"net/http"
	"os"
	"time"
)

func main() {
	c := http.Client{Timeout: 4 * time.Second}
	resp, err := c.Get("http://127.0.0.1:PORTPATH")
	if err != nil {
		os.Exit(1)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		os.Exit(1)
	}
}
`

// unpackProgram unpacks a bundle in the build stage, which has Go and need not have unzip, after comparing its hash.
const unpackProgram = `package main

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log"
	"os"
)

func main() {
	file, want, to := os.Args[1], os.Args[2], os.Args[3]
	f, err := os.Open(file)
	check(err)
	h := sha256.New()
	_, err = io.Copy(h, f)
	check(err)
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		log.Fatalf("%s is not the bundle that this Dockerfile was made for: its SHA-256 is %s, not %s", file, got, want)
	}
	r, err := zip.OpenReader(file)
	check(err)
	check(os.CopyFS(to, r))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
`
