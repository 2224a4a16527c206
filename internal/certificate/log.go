package certificate

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	"go.uber.org/zap/zapcore"
)

// core writes the log lines of the library to the gateway's log. All have the level
// debug, because the gateway itself logs how an attempt ended. It is a zapcore.Core.
type core struct {
	log    *slog.Logger
	fields []zapcore.Field
}

// Enabled is part of zapcore.Core.
func (c core) Enabled(zapcore.Level) bool {
	return c.log.Enabled(context.Background(), slog.LevelDebug)
}

// With is part of zapcore.Core.
func (c core) With(fields []zapcore.Field) zapcore.Core {
	return core{log: c.log, fields: slices.Concat(c.fields, fields)}
}

// Check is part of zapcore.Core.
func (c core) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

// Write is part of zapcore.Core. It writes texts, numbers and times only: a value of
// another type may hold a key.
func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	line := zapcore.NewMapObjectEncoder()
	for _, f := range slices.Concat(c.fields, fields) {
		switch f.Type {
		case zapcore.ReflectType, zapcore.BinaryType, zapcore.ByteStringType, zapcore.ObjectMarshalerType,
			zapcore.InlineMarshalerType, zapcore.StringerType:
		case zapcore.ErrorType:
			if err, ok := f.Interface.(error); ok {
				line.AddString(f.Key, brief(err.Error()))
			}
		case zapcore.StringType:
			line.AddString(f.Key, brief(f.String))
		default:
			f.AddTo(line)
		}
	}
	attrs := make([]slog.Attr, 0, len(line.Fields))
	for _, name := range slices.Sorted(maps.Keys(line.Fields)) {
		attrs = append(attrs, slog.Any(name, line.Fields[name]))
	}
	c.log.LogAttrs(context.Background(), slog.LevelDebug, "certmagic: "+brief(e.Message), attrs...)
	return nil
}

// Sync is part of zapcore.Core.
func (core) Sync() error { return nil }
