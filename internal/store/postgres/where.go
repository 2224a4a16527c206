package postgres

import "fmt"

// where is the end of a query, to which conditions are added.
type where struct {
	sql  string
	args []any
}

// add adds text with one argument.
func (w *where) add(format string, arg any) {
	w.args = append(w.args, arg)
	w.sql += fmt.Sprintf(format, fmt.Sprintf("$%d", len(w.args)))
}

// and adds a condition on one argument.
func (w *where) and(format string, arg any) { w.add(" AND "+format, arg) }
