package cache

// entry is one value, in one queue.
type entry[K comparable, V any] struct {
	key           K
	value         V
	weight        int
	queue         *queue[K, V]
	before, after *entry[K, V]
}

// queue holds entries, the one that came last at its front.
type queue[K comparable, V any] struct {
	front, back *entry[K, V]
	weight      int
}

// last returns the entry that is in the queue for longest, nil if it is empty.
func (q *queue[K, V]) last() *entry[K, V] { return q.back }

func (q *queue[K, V]) push(e *entry[K, V]) {
	e.queue, e.before, e.after = q, nil, q.front
	if q.front != nil {
		q.front.before = e
	} else {
		q.back = e
	}
	q.front = e
	q.weight += e.weight
}

func (q *queue[K, V]) remove(e *entry[K, V]) {
	if e.before != nil {
		e.before.after = e.after
	} else {
		q.front = e.after
	}
	if e.after != nil {
		e.after.before = e.before
	} else {
		q.back = e.before
	}
	e.queue, e.before, e.after = nil, nil, nil
	q.weight -= e.weight
}
