package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"

	"github.com/amtp-go/amtp/admin"
)

// jobs lists a gateway's jobs; it returns false when the gateway gives no answer.
func (s *site) jobs() ([]admin.QueuedJob, bool) {
	status, answer := s.call(http.MethodGet, "/v1/admin/queue?limit=1000", adminKey, nil)
	var list admin.JobList
	if status != http.StatusOK {
		return nil, false
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		s.w.fault("the queue of %s cannot be read: %v", s.domain, err)
		return nil, false
	}
	return list.Jobs, true
}

// pick chooses a job that carries a letter to another domain.
func (s *site) pick(r *rand.Rand) (admin.QueuedJob, bool) {
	jobs, _ := s.jobs()
	var remote []admin.QueuedJob
	for _, j := range jobs {
		if j.Kind == "remote" {
			remote = append(remote, j)
		}
	}
	if len(remote) == 0 {
		return admin.QueuedJob{}, false
	}
	return one(r, remote), true
}

// cancel cancels the deliveries of a job that are not done.
func (w *world) cancel(s *site, r *rand.Rand) {
	j, ok := s.pick(r)
	if !ok {
		return
	}
	status, _ := s.call(http.MethodDelete, fmt.Sprintf("/v1/admin/queue/%d", j.ID), adminKey, nil)
	w.trace.add("the operator of %s cancels %s: %d", s.name(), j.Subject, status)
	if status != http.StatusOK && status != 0 && status < 500 {
		return
	}
	w.trace.count("cancellations")
	for _, to := range j.Recipients {
		w.named(j.Subject).gone[to.Address.Key()] = true
	}
}

// hasten has a job tried at once.
func (w *world) hasten(s *site, r *rand.Rand) {
	j, ok := s.pick(r)
	if !ok {
		return
	}
	status, _ := s.call(http.MethodPost, fmt.Sprintf("/v1/admin/queue/%d/retry", j.ID), adminKey, nil)
	w.trace.add("the operator of %s hastens %s: %d", s.name(), j.Subject, status)
}

// redrive has all dead letters tried again.
func (w *world) redrive(s *site) {
	status, answer := s.call(http.MethodPost, "/v1/admin/dead-letters/redrive", adminKey, []byte(`{"all":true}`))
	w.trace.add("the operator of %s redrives: %d %s", s.name(), status, answer)
	w.redrives++
	if status == http.StatusOK && string(answer) != `{"redriven":0}` {
		w.trace.count("redrives")
	}
}
