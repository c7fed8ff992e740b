// A SCIM server of SCIMMY and Express as their documentation shows it, with Users in a Map: in memory, without authentication.
import { createRequire } from "node:module";
const require = createRequire(process.argv[3] + "/");
const express = require("express");
const loaded = (name) => { const m = require(name); return m.default ?? m; };
const SCIMMY = loaded("scimmy");
const SCIMMYRouters = loaded("scimmy-routers");

const users = new Map();
let last = 0;

SCIMMY.Resources.declare(SCIMMY.Resources.User)
    .extend(SCIMMY.Schemas.EnterpriseUser)
    .ingress((resource, data) => {
        const id = resource.id ?? String(++last);
        const user = { ...data, id };
        users.set(id, user);
        return user;
    })
    .egress((resource) => {
        if (resource.id) {
            const user = users.get(resource.id);
            if (!user) throw new SCIMMY.Types.Error(404, null, "not found");
            return user;
        }
        return [...users.values()];
    })
    .degress((resource) => { users.delete(resource.id); });

const app = express();
app.use("/scim/v2", new SCIMMYRouters({ type: "bearer", handler: async () => "bench" }));
app.listen(Number(process.argv[2]), "127.0.0.1");
