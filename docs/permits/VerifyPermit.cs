using System;
using System.Collections.Generic;
using System.Linq;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

/// <summary>
/// Verifies an export permit of Mandate offline (docs/permits.md): .NET 8, no packages.
/// <code>var claims = VerifyPermit.Verify(token, keySet, issuer, "itslearning", DateTimeOffset.UtcNow.ToUnixTimeSeconds());</code>
/// It proves where a permit comes from. It never lets a byte leave: ask the gate before each chunk.
/// </summary>
public static class VerifyPermit
{
    /// <summary>The first fault, in the words of docs/permits.md.</summary>
    public sealed class Refused(string fault) : Exception(fault);

    // \z and not $, which would let a line end pass.
    private static readonly Regex Header = new("\\A\\{\"alg\":\"ES256\",\"kid\":\"([A-Za-z0-9_-]{43})\",\"typ\":\"export-permit\\+jwt\"\\}\\z");

    /// <summary>The claims of a permit that issuer issued to audience and that holds at now, in seconds.</summary>
    public static JsonElement Verify(string token, JsonElement keySet, string issuer, string audience, long now)
    {
        var parts = token.Split('.');
        if (parts.Length != 3) throw new Refused("form");
        byte[] header = Decode(parts[0]), payload = Decode(parts[1]), signature = Decode(parts[2]);
        // Latin-1 gives each byte a letter of its own: other bytes cannot look like these.
        var kid = Header.Match(Encoding.Latin1.GetString(header));
        if (!kid.Success) throw new Refused("header");
        using var key = PublicKey(keySet, kid.Groups[1].Value);
        var signed = Encoding.ASCII.GetBytes($"{parts[0]}.{parts[1]}");
        if (signature.Length != 64 || !key.VerifyData(signed, signature, HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation))
            throw new Refused("signature");
        var claims = Read(payload);
        long iat = Number(claims, "iat"), nbf = Number(claims, "nbf"), exp = Number(claims, "exp");
        if (!(iat <= nbf && nbf < exp && exp <= iat + 300)) throw new Refused("lifetime");
        if (claims.GetProperty("iss").GetString() != issuer) throw new Refused("issuer");
        if (claims.GetProperty("aud").GetString() != audience) throw new Refused("audience");
        if (now < nbf) throw new Refused("not_yet_valid");
        if (now >= exp) throw new Refused("expired");
        return claims;
    }

    private static long Number(JsonElement claims, string name) => claims.GetProperty(name).GetInt64();

    /// <summary>Base64url without padding, in its one spelling: what is read must write the same text.</summary>
    private static byte[] Decode(string text)
    {
        try
        {
            var padded = text.Replace('-', '+').Replace('_', '/') + new string('=', (4 - text.Length % 4) % 4);
            var data = Convert.FromBase64String(padded);
            if (Convert.ToBase64String(data).TrimEnd('=').Replace('+', '-').Replace('/', '_') == text) return data;
        }
        catch (FormatException)
        {
            // Falls through: it has no bytes at all.
        }
        throw new Refused("form");
    }

    /// <summary>The key of this name, if it is a P-256 key for signatures; all others are left aside.</summary>
    private static ECDsa PublicKey(JsonElement keySet, string kid)
    {
        var keys = keySet.TryGetProperty("keys", out var list) && list.ValueKind == JsonValueKind.Array
            ? list.EnumerateArray().ToList()
            : new List<JsonElement>();
        keys.Reverse();
        foreach (var jwk in keys.Where(jwk => jwk.ValueKind == JsonValueKind.Object))
        {
            bool Says(string name, string value, bool mayLack = false) =>
                jwk.TryGetProperty(name, out var member) ? member.ValueKind == JsonValueKind.String && member.GetString() == value : mayLack;
            var fits = Says("kid", kid) && Says("kty", "EC") && Says("crv", "P-256") && Says("use", "sig", true) && Says("alg", "ES256", true);
            if (!fits) continue;
            try
            {
                byte[] x = Decode(jwk.GetProperty("x").GetString()!), y = Decode(jwk.GetProperty("y").GetString()!);
                if (x.Length != 32 || y.Length != 32) continue;
                return ECDsa.Create(new ECParameters { Curve = ECCurve.NamedCurves.nistP256, Q = new ECPoint { X = x, Y = y } });
            }
            catch (Exception unusable) when (unusable is CryptographicException or KeyNotFoundException or InvalidOperationException or NullReferenceException or Refused)
            {
                continue;
            }
        }
        throw new Refused("unknown_key");
    }

    /// <summary>The claims, if the bytes are their canonical JSON (RFC 8785) and have the profile's shape.</summary>
    private static JsonElement Read(byte[] payload)
    {
        try
        {
            // Comments, trailing commas and bytes that are not UTF-8 are refused by the reader; the rest is compared.
            using var document = JsonDocument.Parse(payload, new JsonDocumentOptions { MaxDepth = 8 });
            var canonical = new StringBuilder();
            Write(document.RootElement, canonical);
            if (Permit(document.RootElement) && Encoding.UTF8.GetBytes(canonical.ToString()).AsSpan().SequenceEqual(payload))
                return document.RootElement.Clone();
        }
        catch (Exception other) when (other is JsonException or InvalidOperationException or ArgumentException)
        {
            // Falls through: it is not what a permit says.
        }
        throw new Refused("payload");
    }

    /// <summary>The one spelling that RFC 8785 gives to the values of a permit, members in ordinal order.</summary>
    private static void Write(JsonElement value, StringBuilder to)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                var members = value.EnumerateObject().OrderBy(member => member.Name, StringComparer.Ordinal).ToList();
                if (members.Select(member => member.Name).Distinct().Count() != members.Count) throw new ArgumentException("a member twice");
                to.Append('{');
                for (var i = 0; i < members.Count; i++)
                {
                    if (i > 0) to.Append(',');
                    WriteText(members[i].Name, to);
                    to.Append(':');
                    Write(members[i].Value, to);
                }
                to.Append('}');
                break;
            case JsonValueKind.Array:
                to.Append('[');
                var first = true;
                foreach (var item in value.EnumerateArray())
                {
                    if (!first) to.Append(',');
                    first = false;
                    Write(item, to);
                }
                to.Append(']');
                break;
            case JsonValueKind.String:
                WriteText(value.GetString()!, to);
                break;
            case JsonValueKind.Number when Whole(value):
                to.Append(value.GetInt64());
                break;
            default:
                throw new ArgumentException("no value of a permit");
        }
    }

    /// <summary>A permit's texts hold no control characters: only the quote and the backslash are escaped.</summary>
    private static void WriteText(string text, StringBuilder to)
    {
        if (text.Any(char.IsControl)) throw new ArgumentException("control character");
        to.Append('"').Append(text.Replace("\\", "\\\\").Replace("\"", "\\\"")).Append('"');
    }

    private delegate bool Check(JsonElement value);

    private static bool Text(JsonElement value) => value.ValueKind == JsonValueKind.String && value.GetString() != "";

    private static bool Whole(JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var number) && number is >= 0 and < 1L << 53;

    private static Check Pattern(string expression)
    {
        var compiled = new Regex($"\\A{expression}\\z");
        return value => value.ValueKind == JsonValueKind.String && compiled.IsMatch(value.GetString()!);
    }

    private static Check Every(Check check) => value => value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(item => check(item));

    private static bool Groups(JsonElement value)
    {
        if (!Every(Text)(value)) return false;
        var names = value.EnumerateArray().Select(item => item.GetString()!).ToList();
        return names.Count > 0 && names.SequenceEqual(names.Distinct().OrderBy(name => name, StringComparer.Ordinal));
    }

    private static Check Members(Dictionary<string, Check> required, Dictionary<string, Check>? optional = null) => value =>
        value.ValueKind == JsonValueKind.Object
        && required.Keys.All(name => value.TryGetProperty(name, out _))
        && value.EnumerateObject().All(member =>
            (required.TryGetValue(member.Name, out var check) || (optional is not null && optional.TryGetValue(member.Name, out check)))
            && check(member.Value));

    private static readonly Check Digest = Pattern("[0-9a-f]{64}");

    private static readonly Dictionary<string, Check> Selectors = new()
    {
        ["whole"] = Members(new() { ["kind"] = Text }),
        ["unit"] = Members(new() { ["kind"] = Text, ["unit"] = Text }),
        ["group"] = Members(new() { ["kind"] = Text, ["unit"] = Text, ["group"] = Text }),
        ["subject"] = Members(new() { ["kind"] = Text, ["ref"] = Text }, new() { ["unit"] = Text, ["groups"] = Groups }),
    };

    private static bool Selector(JsonElement value) =>
        value.ValueKind == JsonValueKind.Object && value.TryGetProperty("kind", out var kind) && kind.ValueKind == JsonValueKind.String
        && Selectors.TryGetValue(kind.GetString()!, out var check) && check(value);

    private static readonly Check Permit = Members(new()
    {
        ["iss"] = Text,
        ["aud"] = Text,
        ["jti"] = Pattern("exp_[0-9a-f]{32}"),
        ["iat"] = Whole,
        ["nbf"] = Whole,
        ["exp"] = Whole,
        ["customer"] = Pattern("cus_[0-9a-f]{32}"),
        ["instruction"] = Members(new() { ["id"] = Pattern("ins_[0-9a-f]{32}"), ["version"] = Whole, ["document_sha256"] = Digest }),
        ["agreement"] = Members(new() { ["id"] = Pattern("agr_[0-9a-f]{32}"), ["version"] = Whole }),
        ["scope"] = Members(new()
        {
            ["channel"] = Text,
            ["purpose"] = Text,
            ["data_categories"] = Every(Text),
            ["recipient"] = Members(new() { ["legal_entity"] = Text, ["country"] = Text, ["role"] = Text }, new() { ["transfer_ground"] = Text }),
        }),
        ["volume"] = Members(new(), new() { ["rows"] = Whole, ["files"] = Whole, ["bytes"] = Whole }),
        ["selectors"] = Members(new() { ["count"] = Whole, ["salt"] = Digest, ["sha256"] = Digest }),
        ["except"] = Every(Selector),
        ["log"] = Members(new() { ["origin"] = Text, ["index"] = Whole, ["leaf_hash"] = Digest, ["size"] = Whole, ["root"] = Digest }),
    });
}
