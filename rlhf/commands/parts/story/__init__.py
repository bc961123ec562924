"""What `rlhf show` tells of a run, a sweep or an artifact: gathered once as plain values, then
drawn or written as JSON."""
