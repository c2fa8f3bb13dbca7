// The JSON that the services speak, field by field as users of Istio's Bookinfo know it.
using System.Text.Json.Serialization;

namespace Bookinfo;

/// <summary>Answer of <c>/health</c>.</summary>
public sealed record Health([property: JsonPropertyName("status")] string Status);

/// <summary>Answer to what cannot be served.</summary>
public sealed record Failure([property: JsonPropertyName("error")] string Error);

/// <summary>One book of <c>/api/v1/products</c>.</summary>
public sealed record Product(
    [property: JsonPropertyName("id")] int Id,
    [property: JsonPropertyName("title")] string Title,
    [property: JsonPropertyName("descriptionHtml")] string DescriptionHtml);

/// <summary>Answer of <c>/details/{id}</c>.</summary>
public sealed record BookDetails(
    [property: JsonPropertyName("id")] int Id,
    [property: JsonPropertyName("author")] string Author,
    [property: JsonPropertyName("year")] int Year,
    [property: JsonPropertyName("type")] string Type,
    [property: JsonPropertyName("pages")] int Pages,
    [property: JsonPropertyName("publisher")] string Publisher,
    [property: JsonPropertyName("language")] string Language,
    [property: JsonPropertyName("ISBN-10")] string Isbn10,
    [property: JsonPropertyName("ISBN-13")] string Isbn13);

/// <summary>Answer of <c>/ratings/{id}</c>: stars, 1 to 5, by reviewer.</summary>
public sealed record BookRatings(
    [property: JsonPropertyName("id")] int Id,
    [property: JsonPropertyName("ratings")] IReadOnlyDictionary<string, int> Ratings);

/// <summary>Answer of <c>/reviews/{id}</c>.</summary>
public sealed record BookReviews(
    [property: JsonPropertyName("id")] string Id,
    [property: JsonPropertyName("podname")] string PodName,
    [property: JsonPropertyName("clustername")] string? ClusterName,
    [property: JsonPropertyName("reviews")] IReadOnlyList<Review> Reviews);

/// <summary>One opinion; without <see cref="Rating"/> in version v1.</summary>
public sealed record Review(
    [property: JsonPropertyName("reviewer")] string Reviewer,
    [property: JsonPropertyName("text")] string Text,
    [property: JsonPropertyName("rating"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] Rating? Rating);

/// <summary>Stars in a colour, or why there are none.</summary>
public sealed record Rating(
    [property: JsonPropertyName("stars"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Stars,
    [property: JsonPropertyName("color"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Color,
    [property: JsonPropertyName("error"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Error);

/// <summary>Readers and writers made at build time: nothing is reflected upon at start.</summary>
[JsonSerializable(typeof(Health))]
[JsonSerializable(typeof(Failure))]
[JsonSerializable(typeof(Product[]))]
[JsonSerializable(typeof(BookDetails))]
[JsonSerializable(typeof(BookRatings))]
[JsonSerializable(typeof(BookReviews))]
[JsonSerializable(typeof(Dictionary<string, int>))]
public sealed partial class BookinfoJson : JsonSerializerContext;
