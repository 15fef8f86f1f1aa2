export { type PaymentPageOptions, paymentPage } from './page/payment-page.ts'
