package transport

// texts returns what happened, for Error texts, and what a person can do about it.
func (f Failure) texts() (phrase, hint string) {
	switch f {
	case NXDomain:
		return "no such host",
			"check the spelling of the host and the network's DNS server; some networks hide names"
	case DNSTemporary:
		return "the name server has no answer",
			"try again, or set another DNS server"
	case Refused:
		return "connection refused",
			"nothing listens there: check the port, and that the server or proxy is running"
	case Reset:
		return "connection reset",
			"something on the way cut the connection: try another upstream, or a proxy (HTTPS_PROXY)"
	case Unreachable:
		return "network unreachable",
			"check the network connection, the VPN and the firewall"
	case TimedOut:
		return "timed out",
			"the host does not answer: try another upstream, or a proxy (HTTPS_PROXY)"
	case Stalled:
		return "stalled",
			"the link stopped in the middle of a file: try again, or try another upstream"
	case UnknownAuthority:
		return "certificate of an unknown authority",
			"if your company inspects TLS, add its root certificate to the trusted roots"
	case BadHostname:
		return "certificate of another host",
			"the certificate belongs to another host: check the URL; a log-in page or a filter may be answering"
	case CertExpired:
		return "certificate expired or not yet valid",
			"check this machine's clock; if it is right, the server's certificate is out of date"
	case TLSProtocol:
		return "no common TLS",
			"check that the port speaks https; something on the way may be answering in its place"
	case EOF:
		return "closed before the end",
			"the other side closed early: try again, or try another upstream"
	case H2Protocol:
		return "HTTP/2 broken off",
			"the server broke HTTP/2 off: try again, or try another upstream"
	case ProxyAuth:
		return "the proxy wants other credentials",
			"put the proxy's user and password into the proxy URL: http://USER:PASSWORD@HOST:PORT"
	case ProxyRefused:
		return "the proxy did not connect",
			"the proxy in HTTPS_PROXY or HTTP_PROXY does not answer or does not let this through: correct it, or list the host in NO_PROXY"
	case InsecureRedirect:
		return "redirect from https to http",
			"use a URL that stays on https, or name the host in GOINSECURE"
	case TooManyRedirects:
		return "more than 10 redirects",
			"the server sends requests in a circle: check the URL, and that credentials are set"
	case InsecureCredentials:
		return "credentials in an http URL",
			"use https, or name the host in GOINSECURE"
	case CaptivePortal:
		return "the network wants a log-in first",
			"open a web page in a browser and log in to the network"
	case Changed:
		return "the file changed while it was read",
			"the server replaced the file in the middle: try again"
	case Other:
		return "unexpected failure",
			"try again; the log has the details"
	}
	return "", ""
}

func (f Failure) phrase() string {
	phrase, _ := f.texts()
	return phrase
}

// Hint returns one line with a way out, without a period. It is empty for
// values that are not in Failures.
func (f Failure) Hint() string {
	_, hint := f.texts()
	return hint
}

// HintCode returns the message code of the hint, such as "transport.hint.refused".
func (f Failure) HintCode() string { return "transport.hint." + string(f) }
