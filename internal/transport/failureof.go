package transport

// FailureOf finds the Failure in an error that the standard library gave at the step op, for those
// who make requests of their own to see what becomes of them. It is Other for what has no type to go by.
func FailureOf(op Op, err error) Failure {
	if e, ok := Explain(err); ok {
		return e.Failure
	}
	if op == OpTLS {
		return tlsFailure(err)
	}
	return failureOf(err)
}
