package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/amtp-go/amtp/internal/managedfile"
)

// MovedFile records in a directory that its data was moved elsewhere, or is being
// moved. No gateway starts there.
const MovedFile = "moved.json"

// Moved is the content of MovedFile.
type Moved struct {
	ID   string    `json:"id"` // of the move, which a second try continues
	To   string    `json:"to"` // without its password
	At   time.Time `json:"at"`
	Done bool      `json:"done"`
}

// ReadMoved reads whether the data was moved; there is no error when it was not.
func ReadMoved(dir string) (m Moved, moved bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, MovedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		return m, true, fmt.Errorf("%s cannot be read: %w", filepath.Join(dir, MovedFile), err)
	}
	return m, true, nil
}

// Write writes the note into the directory. Afterwards it is whole and on the disk, or
// not there.
func (m Moved) Write(dir string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return managedfile.ReplaceDurably(filepath.Join(dir, MovedFile), append(b, '\n'))
}
