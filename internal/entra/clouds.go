package entra

import "fmt"

// Cloud is one of Microsoft's clouds. Tokens and guests of one are nothing to another.
type Cloud struct {
	Name     string // global, usgov, usgov-dod, china
	GraphURL string // root of Graph v1.0
	LoginURL string // token authority
	Scope    string // of the token for Graph, app-only
}

// CloudNamed finds a cloud by its name in the configuration; "" is global.
// Source: Microsoft Graph documentation, "National cloud deployments".
func CloudNamed(name string) (Cloud, error) {
	var root string
	login := "https://login.microsoftonline.com"
	switch name {
	case "", "global":
		name, root = "global", "https://graph.microsoft.com"
	case "usgov": // L4, GCC High
		root, login = "https://graph.microsoft.us", "https://login.microsoftonline.us"
	case "usgov-dod": // L5
		root, login = "https://dod-graph.microsoft.us", "https://login.microsoftonline.us"
	case "china": // 21Vianet
		root, login = "https://microsoftgraph.chinacloudapi.cn", "https://login.chinacloudapi.cn"
	default:
		return Cloud{}, fmt.Errorf("%q is not a cloud; write global, usgov, usgov-dod or china", name)
	}
	return Cloud{Name: name, GraphURL: root + "/v1.0", LoginURL: login, Scope: root + "/.default"}, nil
}
