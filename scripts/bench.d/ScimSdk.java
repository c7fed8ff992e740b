import com.sun.net.httpserver.HttpServer;
import de.captaingoldfish.scim.sdk.common.constants.enums.HttpMethod;
import de.captaingoldfish.scim.sdk.common.constants.enums.SortOrder;
import de.captaingoldfish.scim.sdk.common.exceptions.ResourceNotFoundException;
import de.captaingoldfish.scim.sdk.common.resources.ServiceProvider;
import de.captaingoldfish.scim.sdk.common.resources.User;
import de.captaingoldfish.scim.sdk.common.resources.complex.FilterConfig;
import de.captaingoldfish.scim.sdk.common.resources.complex.Meta;
import de.captaingoldfish.scim.sdk.common.resources.complex.PatchConfig;
import de.captaingoldfish.scim.sdk.common.schemas.SchemaAttribute;
import de.captaingoldfish.scim.sdk.server.endpoints.Context;
import de.captaingoldfish.scim.sdk.server.endpoints.ResourceEndpoint;
import de.captaingoldfish.scim.sdk.server.endpoints.ResourceHandler;
import de.captaingoldfish.scim.sdk.server.endpoints.base.UserEndpointDefinition;
import de.captaingoldfish.scim.sdk.server.filter.FilterNode;
import de.captaingoldfish.scim.sdk.server.response.PartialListResponse;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;

/** A SCIM server of SCIM-SDK and the JDK's own HTTP server, with Users in a Map: in memory, without authentication. */
public class ScimSdk {
    static class Users extends ResourceHandler<User> {
        final Map<String, User> users = new ConcurrentHashMap<>();

        @Override public User createResource(User user, Context c) {
            String id = java.util.UUID.randomUUID().toString();
            user.setId(id);
            Meta meta = user.getMeta().orElseThrow();
            meta.setCreated(LocalDateTime.now());
            meta.setLastModified(LocalDateTime.now());
            users.put(id, user);
            return user;
        }

        @Override public User getResource(String id, List<SchemaAttribute> a, List<SchemaAttribute> e, Context c) {
            User user = users.get(id);
            if (user == null) throw new ResourceNotFoundException("not found");
            return user;
        }

        @Override public PartialListResponse<User> listResources(long start, int count, FilterNode filter, SchemaAttribute sortBy, SortOrder order,
                List<SchemaAttribute> a, List<SchemaAttribute> e, Context c) {
            return PartialListResponse.<User>builder().resources(new ArrayList<>(users.values())).totalResults(users.size()).build();
        }

        @Override public User updateResource(User user, Context c) {
            users.put(user.getId().get(), user);
            return user;
        }

        @Override public void deleteResource(String id, Context c) { users.remove(id); }
    }

    public static void main(String[] args) throws Exception {
        ServiceProvider provider = ServiceProvider.builder()
            .filterConfig(FilterConfig.builder().supported(true).maxResults(500).build())
            .patchConfig(PatchConfig.builder().supported(true).build())
            .build();
        ResourceEndpoint endpoint = new ResourceEndpoint(provider);
        // Filters and pages are the library's own, as its documentation shows for a handler that leaves them to it.
        var type = endpoint.registerEndpoint(new UserEndpointDefinition(new Users()));
        type.getFeatures().setAutoFiltering(true);
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 1024);
        server.setExecutor(Executors.newFixedThreadPool(64));
        server.createContext("/scim/v2", x -> {
            String url = "http://" + x.getRequestHeaders().getFirst("Host") + x.getRequestURI();
            String body = new String(x.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
            Map<String, String> headers = new HashMap<>();
            x.getRequestHeaders().forEach((k, v) -> headers.put(k, v.get(0)));
            int status;
            byte[] answer;
            try {
                var r = endpoint.handleRequest(url, HttpMethod.valueOf(x.getRequestMethod()), body.isEmpty() ? null : body, headers, new Context(null));
                status = r.getHttpStatus();
                answer = r.toString().getBytes(StandardCharsets.UTF_8);
            } catch (RuntimeException e) {
                status = 500;
                answer = String.valueOf(e).getBytes(StandardCharsets.UTF_8);
            }
            x.getResponseHeaders().set("Content-Type", "application/scim+json");
            x.sendResponseHeaders(status, status == 204 ? -1 : answer.length);
            if (status != 204) x.getResponseBody().write(answer);
            x.close();
        });
        server.start();
    }
}
