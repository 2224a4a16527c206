package limits

import (
	"cmp"
	"slices"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
)

// shownOfKind is how many names of one kind are shown: those that used most.
const shownOfKind = 10

// View returns the rates, their use, and how much was refused, as this replica knows it.
func (l *Limits) View() admin.LimitReport {
	at := l.now()
	now := at.UnixMicro()
	report := admin.LimitReport{Timestamp: amtp.Time{Time: at}, Limits: []admin.Limit{}, Used: []admin.LimitUse{}}
	if free, least, known := l.room.state(at); known {
		report.Disk = &admin.DiskRoom{Free: int64(free), Least: int64(least), Short: free < least}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	report.RefusedShort = l.short
	for c := range l.tables {
		for w := range l.tables[c] {
			t := &l.tables[c][w]
			r := &l.rates[c][w]
			if r[0].Burst == 0 {
				continue
			}
			report.Limits = append(report.Limits, admin.Limit{
				Class: classWords[c], Of: whatWords[w], Messages: r[0].Burst,
				MessagesMinute: perMinute(r[0].Burst, r[0].Period),
				Bytes:          r[1].Burst, BytesMinute: perMinute(r[1].Burst, r[1].Period), Refused: l.refused[c][w],
				Names: len(t.list),
			})
			report.Used = append(report.Used, l.most(kind{class(c), what(w)}, t, now)...)
		}
	}
	slices.SortStableFunc(report.Used, func(a, b admin.LimitUse) int { return cmp.Compare(b.Share, a.Share) })
	return report
}

func perMinute(burst int64, period time.Duration) int64 {
	if period <= 0 {
		return 0
	}
	return int64(float64(burst) * float64(time.Minute) / float64(period))
}

// most returns the names that used most.
func (l *Limits) most(k kind, t *table, now int64) []admin.LimitUse {
	r := &l.rates[k.class][k.what]
	var list []admin.LimitUse
	for _, e := range t.list {
		u := admin.LimitUse{
			Class:   classWords[k.class],
			Of:      whatWords[k.what],
			Name:    e.name.String(),
			Refused: e.refused,
		}
		for i, rate := range r {
			if rate.Burst == 0 {
				continue
			}
			share := float64(rate.Debt(e.spent[i], now)) / float64(rate.Period.Microseconds())
			*[2]*int64{&u.Messages, &u.Bytes}[i] = int64(share*float64(rate.Burst) + 0.5)
			u.Share = max(u.Share, min(share, 1))
		}
		if u.Messages > 0 || u.Bytes > 0 {
			list = append(list, u)
		}
	}
	slices.SortFunc(list, func(a, b admin.LimitUse) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(b.Refused, a.Refused), cmp.Compare(a.Name, b.Name))
	})
	return slices.Clone(list[:min(len(list), shownOfKind)])
}
