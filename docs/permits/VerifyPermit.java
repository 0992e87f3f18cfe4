import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.ECFieldFp;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.regex.Pattern;

/**
 * Verifies an export permit of Mandate offline (docs/permits.md): Java 17, no packages.
 *
 * <pre>Map&lt;String, Object&gt; claims = VerifyPermit.verify(token, keys, issuer, "itslearning", Instant.now().getEpochSecond());</pre>
 *
 * {@code keys} are the members of {@code keys} in the key set, read by the JSON library of your choice. It
 * proves where a permit comes from. It never lets a byte leave: ask the gate before each chunk.
 */
public final class VerifyPermit {
    /** The first fault, in the words of docs/permits.md. */
    public static final class Refused extends Exception {
        private static final long serialVersionUID = 1L;

        public Refused(String fault) {
            super(fault);
        }
    }

    private static final Pattern HEADER = Pattern.compile("\\{\"alg\":\"ES256\",\"kid\":\"([A-Za-z0-9_-]{43})\",\"typ\":\"export-permit\\+jwt\"\\}");

    private VerifyPermit() {}

    /** The claims of a permit that {@code issuer} issued to {@code audience} and that holds at {@code now}, in seconds. */
    public static Map<String, Object> verify(String token, List<?> keys, String issuer, String audience, long now) throws Refused {
        String[] parts = token.split("\\.", -1);
        if (parts.length != 3) throw new Refused("form");
        byte[] header = decode(parts[0]), payload = decode(parts[1]), signature = decode(parts[2]);
        // Latin-1 gives each byte a letter of its own: other bytes cannot look like these.
        var kid = HEADER.matcher(new String(header, StandardCharsets.ISO_8859_1));
        if (!kid.matches()) throw new Refused("header");
        PublicKey key = publicKey(keys, kid.group(1));
        if (!signed(key, parts[0] + "." + parts[1], signature)) throw new Refused("signature");
        Map<String, Object> claims = read(payload);
        long iat = (Long) claims.get("iat"), nbf = (Long) claims.get("nbf"), exp = (Long) claims.get("exp");
        if (!(iat <= nbf && nbf < exp && exp <= iat + 300)) throw new Refused("lifetime");
        if (!claims.get("iss").equals(issuer)) throw new Refused("issuer");
        if (!claims.get("aud").equals(audience)) throw new Refused("audience");
        if (now < nbf) throw new Refused("not_yet_valid");
        if (now >= exp) throw new Refused("expired");
        return claims;
    }

    /** Base64url without padding, in its one spelling: what is read must write the same text. */
    private static byte[] decode(String text) throws Refused {
        try {
            byte[] data = Base64.getUrlDecoder().decode(text);
            if (Base64.getUrlEncoder().withoutPadding().encodeToString(data).equals(text)) return data;
        } catch (IllegalArgumentException other) {
            // Falls through: it has no bytes at all.
        }
        throw new Refused("form");
    }

    private static boolean signed(PublicKey key, String text, byte[] signature) {
        // Java before 17.0.3 takes zeros for a signature (CVE-2022-21449): both numbers are looked at here.
        if (signature.length != 64) return false;
        for (int from : new int[] {0, 32}) {
            if (new BigInteger(1, java.util.Arrays.copyOfRange(signature, from, from + 32)).signum() == 0) return false;
        }
        try {
            Signature verifier = Signature.getInstance("SHA256withECDSAinP1363Format");
            verifier.initVerify(key);
            verifier.update(text.getBytes(StandardCharsets.US_ASCII));
            return verifier.verify(signature);
        } catch (GeneralSecurityException unreadable) {
            return false;
        }
    }

    /** The key of this name, if it is a P-256 key for signatures; all others are left aside. */
    private static PublicKey publicKey(List<?> keys, String kid) throws Refused {
        PublicKey found = null;
        for (Object each : keys) {
            if (!(each instanceof Map<?, ?> jwk) || !kid.equals(jwk.get("kid"))) continue;
            boolean fits = "EC".equals(jwk.get("kty")) && "P-256".equals(jwk.get("crv"));
            fits = fits && (!jwk.containsKey("use") || "sig".equals(jwk.get("use")));
            fits = fits && (!jwk.containsKey("alg") || "ES256".equals(jwk.get("alg")));
            if (fits && jwk.get("x") instanceof String x && jwk.get("y") instanceof String y) {
                PublicKey key = point(x, y);
                if (key != null) found = key;
            }
        }
        if (found == null) throw new Refused("unknown_key");
        return found;
    }

    private static PublicKey point(String textX, String textY) {
        try {
            byte[] bytesX = decode(textX), bytesY = decode(textY);
            if (bytesX.length != 32 || bytesY.length != 32) return null;
            BigInteger x = new BigInteger(1, bytesX), y = new BigInteger(1, bytesY);
            AlgorithmParameters parameters = AlgorithmParameters.getInstance("EC");
            parameters.init(new ECGenParameterSpec("secp256r1"));
            ECParameterSpec curve = parameters.getParameterSpec(ECParameterSpec.class);
            BigInteger p = ((ECFieldFp) curve.getCurve().getField()).getP();
            BigInteger right = x.pow(3).add(curve.getCurve().getA().multiply(x)).add(curve.getCurve().getB());
            boolean onCurve = x.compareTo(p) < 0 && y.compareTo(p) < 0 && y.pow(2).subtract(right).mod(p).signum() == 0;
            return onCurve ? KeyFactory.getInstance("EC").generatePublic(new ECPublicKeySpec(new ECPoint(x, y), curve)) : null;
        } catch (GeneralSecurityException | Refused unusable) {
            return null;
        }
    }

    /** The claims, if the bytes are their canonical JSON (RFC 8785) and have the profile's shape. */
    @SuppressWarnings("unchecked")
    private static Map<String, Object> read(byte[] payload) throws Refused {
        try {
            String text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(payload)).toString();
            Canonical reader = new Canonical(text);
            Object claims = reader.value(0);
            if (reader.at == text.length() && PERMIT.test(claims)) return (Map<String, Object>) claims;
        } catch (CharacterCodingException | IllegalArgumentException other) {
            // Falls through: it is not what a permit says.
        }
        throw new Refused("payload");
    }

    /**
     * Reads the one spelling that RFC 8785 gives to the values of a permit: no blanks, members in order and none
     * twice, whole numbers, and no escape but those of the quote and the backslash. Anything else is refused.
     */
    private static final class Canonical {
        private final String text;
        private int at;

        Canonical(String text) {
            this.text = text;
        }

        Object value(int depth) {
            if (depth > 8) throw new IllegalArgumentException("deeper than any permit");
            if (take('"')) return string();
            if (take('[')) {
                List<Object> items = new ArrayList<>();
                while (!take(']')) {
                    if (!items.isEmpty()) expect(',');
                    items.add(value(depth + 1));
                }
                return items;
            }
            if (take('{')) {
                TreeMap<String, Object> members = new TreeMap<>();
                while (!take('}')) {
                    if (!members.isEmpty()) expect(',');
                    expect('"');
                    String name = string();
                    if (!members.isEmpty() && members.lastKey().compareTo(name) >= 0) throw new IllegalArgumentException("order");
                    expect(':');
                    members.put(name, value(depth + 1));
                }
                return members;
            }
            return number();
        }

        private String string() {
            StringBuilder made = new StringBuilder();
            while (!take('"')) {
                char c = next();
                if (c == '\\') {
                    c = next();
                    if (c != '"' && c != '\\') throw new IllegalArgumentException("escape");
                }
                if (Character.isISOControl(c)) throw new IllegalArgumentException("control character");
                made.append(c);
            }
            return made.toString();
        }

        private Long number() {
            int from = at;
            while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') at++;
            String digits = text.substring(from, at);
            if (digits.isEmpty() || digits.length() > 16 || (digits.length() > 1 && digits.charAt(0) == '0')) {
                throw new IllegalArgumentException("not a whole number");
            }
            return Long.parseLong(digits);
        }

        private char next() {
            if (at == text.length()) throw new IllegalArgumentException("cut short");
            return text.charAt(at++);
        }

        private boolean take(char c) {
            boolean here = at < text.length() && text.charAt(at) == c;
            if (here) at++;
            return here;
        }

        private void expect(char c) {
            if (!take(c)) throw new IllegalArgumentException("not " + c);
        }
    }

    private static final Predicate<Object> TEXT = value -> value instanceof String text && !text.isEmpty();
    private static final Predicate<Object> WHOLE = value -> value instanceof Long number && number < 1L << 53;
    private static final Predicate<Object> DIGEST = pattern("[0-9a-f]{64}");
    private static final Predicate<Object> GROUPS = value -> every(TEXT).test(value)
            && !((List<?>) value).isEmpty()
            && ((List<?>) value).equals(new ArrayList<>(new java.util.TreeSet<>((List<?>) value)));

    private static final Map<String, Predicate<Object>> SELECTORS = Map.of(
            "whole", members(Map.of("kind", TEXT), Map.of()),
            "unit", members(Map.of("kind", TEXT, "unit", TEXT), Map.of()),
            "group", members(Map.of("kind", TEXT, "unit", TEXT, "group", TEXT), Map.of()),
            "subject", members(Map.of("kind", TEXT, "ref", TEXT), Map.of("unit", TEXT, "groups", GROUPS)));

    private static final Predicate<Object> SELECTOR = value -> value instanceof Map<?, ?> members
            && members.get("kind") instanceof String kind
            && SELECTORS.containsKey(kind)
            && SELECTORS.get(kind).test(value);

    private static final Predicate<Object> PERMIT = members(
            Map.ofEntries(
                    Map.entry("iss", TEXT),
                    Map.entry("aud", TEXT),
                    Map.entry("jti", pattern("exp_[0-9a-f]{32}")),
                    Map.entry("iat", WHOLE),
                    Map.entry("nbf", WHOLE),
                    Map.entry("exp", WHOLE),
                    Map.entry("customer", pattern("cus_[0-9a-f]{32}")),
                    Map.entry("instruction", members(Map.of("id", pattern("ins_[0-9a-f]{32}"), "version", WHOLE, "document_sha256", DIGEST), Map.of())),
                    Map.entry("agreement", members(Map.of("id", pattern("agr_[0-9a-f]{32}"), "version", WHOLE), Map.of())),
                    Map.entry("scope", members(Map.of("channel", TEXT, "purpose", TEXT, "data_categories", every(TEXT), "recipient",
                            members(Map.of("legal_entity", TEXT, "country", TEXT, "role", TEXT), Map.of("transfer_ground", TEXT))), Map.of())),
                    Map.entry("volume", members(Map.of(), Map.of("rows", WHOLE, "files", WHOLE, "bytes", WHOLE))),
                    Map.entry("selectors", members(Map.of("count", WHOLE, "salt", DIGEST, "sha256", DIGEST), Map.of())),
                    Map.entry("except", every(SELECTOR)),
                    Map.entry("log", members(Map.of("origin", TEXT, "index", WHOLE, "leaf_hash", DIGEST, "size", WHOLE, "root", DIGEST), Map.of()))),
            Map.of());

    private static Predicate<Object> pattern(String expression) {
        Pattern compiled = Pattern.compile(expression);
        return value -> value instanceof String text && compiled.matcher(text).matches();
    }

    private static Predicate<Object> every(Predicate<Object> check) {
        return value -> value instanceof List<?> items && items.stream().allMatch(check);
    }

    private static Predicate<Object> members(Map<String, Predicate<Object>> required, Map<String, Predicate<Object>> optional) {
        return value -> value instanceof Map<?, ?> members
                && members.keySet().containsAll(required.keySet())
                && members.entrySet().stream().allMatch(member -> {
                    Predicate<Object> check = required.getOrDefault(member.getKey(), optional.get(member.getKey()));
                    return check != null && check.test(member.getValue());
                });
    }
}
