package scim

import (
	"github.com/google/uuid"

	"scimbridge/internal/contractor"
)

// groupID is the SCIM id of a catalog entry: made from its place in Entra, so that it outlives a renaming, and not that place
// itself, which is none of the vendor's business.
func groupID(key contractor.EntitlementKey) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("scimbridge:"+string(key.Kind)+":"+key.ID)).String()
}
