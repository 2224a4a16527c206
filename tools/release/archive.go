package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Archives have the given files below one directory, with a neutral owner and the time of
// the commit, so that they are the same each time.

// mode is the mode of a file: only the program is executable.
func mode(name string) os.FileMode {
	if name == "amtp" || name == "amtp.exe" {
		return 0o755
	}
	return 0o644
}

// settle gives files the modes and times that they have in a package.
func settle(dir string, names []string, at time.Time) error {
	for _, name := range names {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.Chmod(file, mode(name)), os.Chtimes(file, at, at)); err != nil {
			return err
		}
	}
	return nil
}

func tarFiles(archive, below, dir string, files []string, at time.Time) error {
	return create(archive, func(w io.Writer) error {
		packed, err := gzip.NewWriterLevel(w, gzip.BestCompression)
		if err != nil {
			return err
		}
		t := tar.NewWriter(packed)
		for _, name := range files {
			content, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			header := &tar.Header{Name: below + "/" + name, Mode: int64(mode(name)), Size: int64(len(content)),
				ModTime: at, Format: tar.FormatUSTAR}
			if err := t.WriteHeader(header); err != nil {
				return err
			}
			if _, err := t.Write(content); err != nil {
				return err
			}
		}
		return errors.Join(t.Close(), packed.Close())
	})
}

func zipFiles(archive, below, dir string, files []string, at time.Time) error {
	return create(archive, func(w io.Writer) error {
		z := zip.NewWriter(w)
		for _, name := range files {
			content, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			header := &zip.FileHeader{Name: below + "/" + name, Method: zip.Deflate, Modified: at}
			header.SetMode(mode(name))
			f, err := z.CreateHeader(header)
			if err != nil {
				return err
			}
			if _, err := f.Write(content); err != nil {
				return err
			}
		}
		return z.Close()
	})
}

// gzipFile compresses one text, the form in which manual pages are installed.
func gzipFile(name string, content []byte) error {
	return create(name, func(w io.Writer) error {
		packed, err := gzip.NewWriterLevel(w, gzip.BestCompression)
		if err != nil {
			return err
		}
		_, err = packed.Write(content)
		return errors.Join(err, packed.Close())
	})
}

func create(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// sums writes SHA256SUMS for the files in dir, in the form that sha256sum -c reads.
func sums(dir string) error {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%x  %s\n", sha256.Sum256(content), e.Name())
	}
	fmt.Print(list.String())
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(list.String()), 0o644)
}
