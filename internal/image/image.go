// Package image writes Dockerfiles and OCI images of Go projects that need no network,
// no daemon and no rights; it pushes nothing by itself.
package image
