#!/bin/sh
# Registers scimbridge in an Entra tenant with the Azure CLI: app registration, service principal, certificate, and the least
# application permissions for the features that the mapping uses, with admin consent.
#
# It says what it will do and asks before it does it. Running it again adds what is missing and changes nothing else. It makes
# no secret: the private key is made here, stays here, and is never shown. By hand, step by step: docs/entra-setup.md.
set -eu

name=scimbridge
features=guests,groups
config=
out=.
days=365
credential=certificate
issuer=
subject=
principal=
assume_yes=no
plan_only=no
graph_app=00000003-0000-0000-c000-000000000000

usage() {
	cat <<'TEXT'
Usage: scripts/entra-setup.sh [options]

  --name NAME          display name of the app registration (default: scimbridge)
  --features LIST      comma-separated, of:
                         guests      always needed
                         groups      group memberships
                         pim         memberships that Entra ends by itself (P2 or ID Governance)
                         packages    access packages (P2 or ID Governance)
                         leave-date  employeeLeaveDateTime
                         activity    sign-in and audit logs (P1 or P2)
                         mail        mails of scimbridge's own through Graph (notify.sender: graph)
                         checks      doctor reads invitation settings and conditional access
                         policies    scimbridge policy apply; alone, for an application of its own:
                                     --name scimbridge-policies --features policies
                       (default: guests,groups)
  --config FILE        take the features from a scimbridge.yaml and its mapping (needs the program scimbridge)
  --credential KIND    certificate (default), federated, or none (one you add yourself)
  --issuer URL         of the federated credential
  --subject TEXT       of the federated credential
  --principal ID       grant to this service principal (object id of a managed identity) and register nothing
  --out DIR            where certificate and key are written (default: .)
  --days N             how long the certificate lasts (default: 365)
  --plan               print what would be done, and stop; needs no Azure CLI
  --yes                do not ask
  --help

Needs: az (signed in as Privileged Role Administrator or Global Administrator), openssl for a certificate.
Exit codes: 0 done, 1 a step failed, 2 wrong usage, 3 not confirmed.
TEXT
}

fail() {
	printf 'entra-setup: %s\n' "$1" >&2
	exit "${2:-1}"
}

while [ $# -gt 0 ]; do
	case $1 in
	--name | --features | --config | --credential | --issuer | --subject | --principal | --out | --days)
		[ $# -ge 2 ] || fail "$1 wants a value; see --help" 2
		case $1 in
		--name) name=$2 ;;
		--features) features=$2 ;;
		--config) config=$2 ;;
		--credential) credential=$2 ;;
		--issuer) issuer=$2 ;;
		--subject) subject=$2 ;;
		--principal) principal=$2 credential=none ;;
		--out) out=$2 ;;
		--days) days=$2 ;;
		esac
		shift 2
		;;
	--plan) plan_only=yes && shift ;;
	--yes) assume_yes=yes && shift ;;
	--help | -h) usage && exit 0 ;;
	*) fail "unknown option $1; see --help" 2 ;;
	esac
done

case $days in '' | *[!0-9]*) fail "--days wants a number" 2 ;; esac
case $name in '' | *[\'\"\\]*) fail "--name must not be empty or hold quotes" 2 ;; esac
case $credential in
certificate | none) ;;
federated)
	if [ -z "$issuer" ] || [ -z "$subject" ]; then
		fail "--credential federated wants --issuer and --subject" 2
	fi
	;;
*) fail "--credential must be certificate, federated or none" 2 ;;
esac

# permissions FEATURE: name, what it is for; one a line. internal/entra/permissions.go holds the same table.
permissions() {
	case $1 in
	guests) cat <<'TEXT'
User.ReadWrite.All  find, invite, write, disable and delete guests
User.RevokeSessions.All  revoke sessions at the end
User.DeleteRestore.All  restore a guest whose contract is renewed
TEXT
		;;
	groups) echo "GroupMember.ReadWrite.All  read groups, add and remove members" ;;
	pim) cat <<'TEXT'
PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup  give memberships that Entra ends by itself
RoleManagementPolicy.Read.AzureADGroup  know a group's longest assignment before asking for more
TEXT
		;;
	packages) echo "EntitlementManagement.ReadWrite.All  assign, move and remove access packages" ;;
	leave-date) echo "User-LifeCycleInfo.ReadWrite.All  write employeeLeaveDateTime" ;;
	activity) echo "AuditLog.Read.All  read sign-ins of guests and changes made to them by others" ;;
	mail) echo "Mail.Send  send mails to sponsors; bound it to the one mailbox (docs/sponsors.md)" ;;
	policies) cat <<'TEXT'
Policy.Read.All  read conditional access, named locations and trust settings
Policy.ReadWrite.ConditionalAccess  write the policies and locations that scimbridge keeps
GroupMember.Read.All  see that a policy's group holds guests only
User.Read.All  see that break-glass accounts exist and can sign in
Policy.ReadWrite.CrossTenantAccess  trust the multifactor authentication of vendors' tenants
TEXT
		;;
	checks) echo "Policy.Read.All  check invitation settings and conditional access" ;;
	*) fail "unknown feature '$1'; see --help" 2 ;;
	esac
}

if [ -n "$config" ]; then
	command -v scimbridge >/dev/null 2>&1 || fail "--config needs the program scimbridge in PATH; or name the --features yourself"
	features=$(scimbridge doctor --features --config "$config") || fail "scimbridge cannot read $config"
fi

wanted=$(mktemp)
trap 'rm -f "$wanted"' EXIT
case ,$features, in *,guests,* | ,policies,) ;; *) features=guests,$features ;; esac
for feature in $(printf '%s' "$features" | tr ',' ' '); do
	permissions "$feature" >>"$wanted"
done
awk '!seen[$1]++' "$wanted" >"$wanted.once" # one feature's permission may be another's, too
mv "$wanted.once" "$wanted"

if [ -n "$principal" ]; then
	printf 'This gives the service principal %s in the Entra tenant:\n\n' "$principal"
	printf '  1. (no app registration)\n'
else
	printf 'This registers "%s" as an application in the Entra tenant:\n\n' "$name"
	printf '  1. app registration for this tenant only, and its service principal\n'
fi
printf '  2. application permissions of Microsoft Graph, with admin consent:\n'
while read -r permission why; do
	printf '       %-52s %s\n' "$permission" "$why"
done <"$wanted"
case $credential in
certificate) printf '  3. a certificate for %s days: key and certificate in %s/scimbridge.pem (readable by you alone), the certificate added to the application\n' "$days" "$out" ;;
federated) printf '  3. trust in tokens of %s for %s\n' "$issuer" "$subject" ;;
none) printf '  3. no credential\n' ;;
esac
printf '\nThese permissions reach the whole tenant; Graph has none for guests only. scimbridge itself refuses members, role holders and\nbreak-glass accounts. It needs no client secret, and never RoleManagement.ReadWrite.Directory.\n'
if [ "$plan_only" = yes ]; then
	exit 0
fi

command -v az >/dev/null 2>&1 || fail "the Azure CLI (az) is not installed: https://aka.ms/azure-cli"
if [ "$credential" = certificate ]; then
	command -v openssl >/dev/null 2>&1 || fail "openssl is not installed"
	if [ ! -d "$out" ] || [ ! -w "$out" ]; then
		fail "$out is not a directory that can be written to"
	fi
	[ ! -e "$out/scimbridge.pem" ] || fail "$out/scimbridge.pem exists; move it away, or use --credential none to leave the credential as it is"
fi
tenant=$(az account show --query tenantId --output tsv 2>/dev/null) || fail "not signed in; run: az login"
account=$(az account show --query user.name --output tsv)
printf '\nTenant %s, as %s.\n' "$tenant" "$account"
if [ "$assume_yes" != yes ]; then
	printf 'Go on? [y/N] '
	read -r answer || answer=
	case $answer in y | Y | yes) ;; *) fail "nothing was done" 3 ;; esac
fi

root=$(az cloud show --query endpoints.microsoftGraphResourceId --output tsv)
root=${root%/}
case $(az cloud show --query name --output tsv) in
AzureUSGovernment) cloud="usgov  # or usgov-dod" ;;
AzureChinaCloud) cloud=china ;;
*) cloud=global ;;
esac

# The ids of the permissions are asked of the tenant: they are the same in the public cloud, but not promised elsewhere.
graph=$(az ad sp show --id "$graph_app" --query id --output tsv)
role_id() {
	id=$(az ad sp show --id "$graph_app" --query "appRoles[?value=='$1' && contains(allowedMemberTypes, 'Application')].id | [0]" --output tsv)
	if [ -z "$id" ] || [ "$id" = None ]; then
		fail "this cloud has no application permission $1"
	fi
	printf '%s' "$id"
}

kind_of_principal=registered
if [ -n "$principal" ]; then
	kind_of_principal=managed
	client=$(az ad sp show --id "$principal" --query appId --output tsv)
else
	ids=$(az ad app list --filter "displayName eq '$name'" --query '[].appId' --output tsv)
	case $(printf '%s' "$ids" | grep -c . || true) in
	0)
		client=$(az ad app create --display-name "$name" --sign-in-audience AzureADMyOrg --query appId --output tsv)
		printf 'made app registration %s\n' "$client"
		;;
	1)
		client=$ids
		printf 'found app registration %s\n' "$client"
		;;
	*) fail "several app registrations are called $name; use --name" ;;
	esac
	principal=$(az ad sp list --filter "appId eq '$client'" --query '[0].id' --output tsv)
	if [ -z "$principal" ] || [ "$principal" = None ]; then
		principal=$(az ad sp create --id "$client" --query id --output tsv)
		printf 'made service principal %s\n' "$principal"
	fi
fi

# Declared for the portal's page, and granted: an app role assignment to the service principal is what admin consent makes.
declared=
granted=$(az rest --method GET --url "$root/v1.0/servicePrincipals/$principal/appRoleAssignments" --query "value[?resourceId=='$graph'].appRoleId" --output tsv)
while read -r permission _; do
	id=$(role_id "$permission")
	declared="$declared{\"id\":\"$id\",\"type\":\"Role\"},"
	if printf '%s\n' "$granted" | grep -qi "^$id\$"; then
		printf 'has     %s\n' "$permission"
		continue
	fi
	body="{\"principalId\":\"$principal\",\"resourceId\":\"$graph\",\"appRoleId\":\"$id\"}"
	# A service principal that was just made is not known everywhere yet.
	tries=0
	until az rest --method POST --url "$root/v1.0/servicePrincipals/$principal/appRoleAssignments" --headers Content-Type=application/json --body "$body" --output none; do
		tries=$((tries + 1))
		[ "$tries" -lt 6 ] || fail "$permission could not be granted; are you Privileged Role Administrator or Global Administrator?"
		sleep 10
	done
	printf 'granted %s\n' "$permission"
done <"$wanted"
for id in $granted; do # what other features have is kept
	case $declared in *"\"$id\""*) ;; *) declared="$declared{\"id\":\"$id\",\"type\":\"Role\"}," ;; esac
done
[ "$kind_of_principal" = managed ] || az ad app update --id "$client" --required-resource-accesses "[{\"resourceAppId\":\"$graph_app\",\"resourceAccess\":[${declared%,}]}]"

case $credential in
certificate)
	umask 077
	key=$out/scimbridge.key.$$
	cert=$out/scimbridge.crt.$$
	trap 'rm -f "$wanted" "$key" "$cert"' EXIT
	openssl req -x509 -newkey rsa:3072 -sha256 -nodes -days "$days" -subj "/CN=$name" -keyout "$key" -out "$cert" 2>/dev/null
	az ad app credential reset --id "$client" --cert "@$cert" --append --output none
	cat "$key" "$cert" >"$out/scimbridge.pem"
	printf 'added a certificate; key and certificate are in %s/scimbridge.pem\n' "$out"
	file=$out/scimbridge.pem
	kind=certificate
	;;
federated)
	az ad app federated-credential create --id "$client" --output none --parameters \
		"{\"name\":\"scimbridge\",\"issuer\":\"$issuer\",\"subject\":\"$subject\",\"audiences\":[\"api://AzureADTokenExchange\"]}"
	printf 'trusts %s for %s\n' "$issuer" "$subject"
	file=/path/of/the/token
	kind=workload_identity
	;;
none)
	file=
	kind=managed_identity
	;;
esac

printf '\nDone. In scimbridge.yaml:\n\nentra:\n  cloud: %s\n  tenant_id: %s\n  client_id: %s\n' "$cloud" "$tenant" "$client"
if [ -n "$file" ]; then
	printf '  credential: {kind: %s, file: %s}\n' "$kind" "$file"
else
	printf '  credential: {kind: %s}\n' "$kind"
fi
printf '\nThen: scimbridge doctor\n'
