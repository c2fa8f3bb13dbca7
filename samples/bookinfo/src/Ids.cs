// Product numbers in paths, read the same way by every service.
using System.Globalization;

namespace Bookinfo;

internal static class Ids
{
    public static bool TryRead(string text, out int id) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out id);

    public static IResult Refuse(string text) =>
        Results.Json(new Failure($"a product has a number, not \"{text}\""), BookinfoJson.Default.Failure, statusCode: 400);
}
