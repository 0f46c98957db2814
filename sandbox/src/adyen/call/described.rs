//! The members that the description of Checkout 71 gives the structures that are read here. What a
//! sandbox has no use for is documented all the same, and so it is taken.

/// A payment.
pub(super) const PAYMENT: &[&str] = &[
    "accountInfo",
    "additionalAmount",
    "additionalData",
    "amount",
    "applicationInfo",
    "authenticationData",
    "bankAccount",
    "billingAddress",
    "browserInfo",
    "captureDelayHours",
    "channel",
    "checkoutAttemptId",
    "company",
    "conversionId",
    "countryCode",
    "dateOfBirth",
    "dccQuote",
    "deliverAt",
    "deliveryAddress",
    "deliveryDate",
    "deviceFingerprint",
    "enableOneClick",
    "enablePayOut",
    "enableRecurring",
    "enhancedSchemeData",
    "entityType",
    "fraudOffset",
    "fundOrigin",
    "fundRecipient",
    "industryUsage",
    "installments",
    "lineItems",
    "localizedShopperStatement",
    "mandate",
    "mcc",
    "merchantAccount",
    "merchantOrderReference",
    "merchantRiskIndicator",
    "metadata",
    "mpiData",
    "order",
    "orderReference",
    "origin",
    "paymentMethod",
    "paymentValidations",
    "platformChargebackLogic",
    "recurringExpiry",
    "recurringFrequency",
    "recurringProcessingModel",
    "redirectFromIssuerMethod",
    "redirectToIssuerMethod",
    "reference",
    "returnUrl",
    "riskData",
    "sessionValidity",
    "shopperConversionId",
    "shopperEmail",
    "shopperIP",
    "shopperInteraction",
    "shopperLocale",
    "shopperName",
    "shopperReference",
    "shopperStatement",
    "shopperTaxInfo",
    "socialSecurityNumber",
    "splits",
    "store",
    "storePaymentMethod",
    "subMerchants",
    "surcharge",
    "telephoneNumber",
    "threeDS2RequestData",
    "threeDSAuthenticationOnly",
    "trustedShopper",
];

/// A card, or a stored one.
pub(super) const CARD: &[&str] = &[
    "billingSequenceNumber",
    "brand",
    "checkoutAttemptId",
    "cupsecureplus.smscode",
    "cvc",
    "encryptedCard",
    "encryptedCardNumber",
    "encryptedExpiryMonth",
    "encryptedExpiryYear",
    "encryptedPassword",
    "encryptedSecurityCode",
    "expiryMonth",
    "expiryYear",
    "fastlaneData",
    "fundingSource",
    "holderName",
    "networkPaymentReference",
    "number",
    "recurringDetailReference",
    "sdkData",
    "shopperNotificationReference",
    "srcCorrelationId",
    "srcDigitalCardId",
    "srcScheme",
    "srcTokenReference",
    "storedPaymentMethodId",
    "threeDS2SdkVersion",
    "type",
];

/// A capture.
pub(super) const CAPTURE: &[&str] = &[
    "amount",
    "applicationInfo",
    "enhancedSchemeData",
    "lineItems",
    "merchantAccount",
    "platformChargebackLogic",
    "reference",
    "splits",
    "subMerchants",
];

/// A cancel, and a reversal.
pub(super) const CANCEL: &[&str] = &["applicationInfo", "enhancedSchemeData", "merchantAccount", "reference"];

/// A cancel by the merchant's reference.
pub(super) const TECHNICAL_CANCEL: &[&str] =
    &["applicationInfo", "enhancedSchemeData", "merchantAccount", "paymentReference", "reference"];

/// A refund.
pub(super) const REFUND: &[&str] = &[
    "amount",
    "applicationInfo",
    "capturePspReference",
    "enhancedSchemeData",
    "lineItems",
    "merchantAccount",
    "merchantRefundReason",
    "reference",
    "splits",
    "store",
];

/// What a buyer brings back.
pub(super) const DETAILS: &[&str] = &["authenticationData", "details", "paymentData", "threeDSAuthenticationOnly"];

/// What it consists of.
pub(super) const COMPLETION: &[&str] = &[
    "MD",
    "PaReq",
    "PaRes",
    "authorization_token",
    "billingToken",
    "cupsecureplus.smscode",
    "facilitatorAccessToken",
    "oneTimePasscode",
    "orderID",
    "payerID",
    "payload",
    "paymentID",
    "paymentStatus",
    "redirectResult",
    "resultCode",
    "returnUrlQueryString",
    "threeDSResult",
    "threeds2.challengeResult",
    "threeds2.fingerprint",
    "vaultToken",
];

/// An amount.
pub(super) const AMOUNT: &[&str] = &["currency", "value"];
