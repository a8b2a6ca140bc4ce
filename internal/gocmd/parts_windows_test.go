package gocmd

func playUnix(part string) int { panic("no such part: " + part) }
