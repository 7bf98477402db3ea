// The JDK's HTTP server: reports each request it has read whole, one line of JSON each, and answers it.
// java Backend.java REPORT; prints its port, and ends with its input.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.FileOutputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

class Backend {
    static FileOutputStream report;

    static String quoted(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            out.append(c < 0x20 || c > 0x7e || c == '"' || c == '\\' ? String.format("\\u%04x", (int) c) : c);
        }
        return out.append('"').toString();
    }

    static void answer(HttpExchange exchange) throws IOException {
        String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.ISO_8859_1);
        StringBuilder fields = new StringBuilder();
        exchange.getRequestHeaders().forEach((name, values) -> {
            for (String value : values) {
                fields.append(fields.length() == 0 ? "" : ",").append('[').append(quoted(name)).append(',');
                fields.append(quoted(value)).append(']');
            }
        });
        String target = exchange.getRequestURI().toString();
        String line = "{\"method\":" + quoted(exchange.getRequestMethod()) + ",\"target\":" + quoted(target)
            + ",\"fields\":[" + fields + "],\"body\":" + quoted(body) + "}\n";
        synchronized (report) {
            report.write(line.getBytes(StandardCharsets.UTF_8));
        }
        String id = exchange.getRequestHeaders().getFirst("x-request-id");
        exchange.getResponseHeaders().add("upstream-saw", id == null ? "" : id);
        exchange.sendResponseHeaders(200, 4);
        exchange.getResponseBody().write("java".getBytes(StandardCharsets.UTF_8));
        exchange.close();
    }

    public static void main(String[] arguments) throws Exception {
        report = new FileOutputStream(arguments[0], true);
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 1024);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.createContext("/", Backend::answer);
        server.start();
        System.out.println(server.getAddress().getPort());
        while (System.in.read() >= 0) {}
        System.exit(0);
    }
}
